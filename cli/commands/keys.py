"""`overnight keys`: the key that signs versions here, and the keys that are trusted."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model

app = typer.Typer(
    help=(
        "Keys that sign versions, and keys that are trusted.\n\n"
        "A version is served only where a key that signed it is trusted. `overnight up` makes one "
        "key that signs and is trusted on this machine. To replace it: rotate, sign the versions "
        "that shall keep serving, and revoke the old key."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
)
Name = Annotated[str, typer.Argument(help="The name of the key, such as training-2026.")]


@app.command()
def new(
    name: Name,
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="Write it here, to be trusted everywhere before `rotate --to`."),
    ] = None,
) -> None:
    """Make the key that signs versions here, or with --file one for later.

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
        Path | None, typer.Option(help="A key made by `new --file`; the file is moved.")
    ] = None,
) -> None:
    """Sign with another key from now on; the old key stays trusted until it is revoked.

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
    """Trust a key: versions that it signed are loaded and served here.

    Examples:

        overnight keys trust training-2027 ed25519:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
    """
    from overnight.cli.actions import keys

    keys.trust(name, key)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The name of a trusted key, or its id.")],
) -> None:
    """Stop trusting a key: versions that only it signed are not loaded here from now on.

    A version that is loaded already keeps serving until serving is restarted.

    Examples:

        overnight keys revoke training-2026
    """
    from overnight.cli.actions import keys

    keys.revoke(name)


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """The trusted keys, and which of them signs here.

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
        bool, typer.Option("--yes", help="Also versions that no trusted key signed.")
    ] = False,
) -> None:
    """Sign existing versions, after checking that their files are as published.

    Without a version argument, only versions that a trusted key signed are signed. The others are
    listed: name one, or pass --yes, to confirm that it is yours. Exits with 1 when some are left
    unsigned.

    Examples:

        overnight keys sign digits

        overnight keys sign digits --yes        (unsigned versions of an earlier release)

        overnight keys sign digits 20261122T020000-0123456789ab
    """
    from overnight.cli.actions import keys

    keys.sign(model, version, yes=yes)
