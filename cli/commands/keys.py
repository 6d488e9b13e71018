"""`overnight keys`: who signs versions here, and whose are trusted."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model

app = typer.Typer(
    help=(
        "Keys that sign versions, and keys that are trusted.\n\n"
        "A version serves only where a key that signed it is trusted. `overnight up` makes one key "
        "that does both on this machine. To replace it: rotate, sign what shall go on serving, "
        "revoke the old one."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
)
Name = Annotated[str, typer.Argument(help="What the key is called, such as training-2026.")]


@app.command()
def new(
    name: Name,
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="Keep it here, to be trusted everywhere before `rotate --to` uses it."),
    ] = None,
) -> None:
    """Make a key: the one that signs from here, or one for later.

    Examples:

        overnight keys new training-2026

        overnight keys new training-2027 --file next.pem
    """
    from overnight.cli.actions import keys

    keys.new(name, file)


@app.command()
def rotate(
    name: Name,
    *,
    to: Annotated[
        Path | None, typer.Option(help="A key made before by `new --file`; it moves from there.")
    ] = None,
) -> None:
    """Sign with another key from now on; the old one stays trusted until it is revoked.

    Examples:

        overnight keys rotate training-2027

        overnight keys rotate training-2027 --to next.pem
    """
    from overnight.cli.actions import keys

    keys.rotate(name, to)


@app.command()
def trust(
    name: Name,
    key: Annotated[str, typer.Argument(help="The public key: ed25519:… as `list` shows it.")],
) -> None:
    """Let versions that this key signed serve and be loaded here.

    Examples:

        overnight keys trust training-2027 ed25519:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
    """
    from overnight.cli.actions import keys

    keys.trust(name, key)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The name of a trusted key, or its id.")],
) -> None:
    """Trust a key no longer: what only it signed is loaded nowhere here from now on.

    A version that is loaded already goes on answering until serving starts again.

    Examples:

        overnight keys revoke training-2026
    """
    from overnight.cli.actions import keys

    keys.revoke(name)


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """The trusted keys, and which of them signs from here.

    Examples:

        overnight keys list
    """
    from overnight.cli.actions import keys

    keys.show(as_json=as_json)


@app.command()
def sign(
    model: Model,
    version: Annotated[
        str | None, typer.Argument(help="One version; every one of the model when left out.")
    ] = None,
    *,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Also those that no trusted key signed: they are yours."),
    ] = False,
) -> None:
    """Sign versions that exist, once their files were found to be as published.

    Without a version those alone that a key signed that is trusted here; the others are listed,
    and whoever knows them to be their own names them, or says --yes. Ends with 1 when some are
    left unsigned.

    Examples:

        overnight keys sign digits

        overnight keys sign digits --yes        (what an earlier release left unsigned)

        overnight keys sign digits 20261122T020000-0123456789ab
    """
    from overnight.cli.actions import keys

    keys.sign(model, version, yes=yes)
