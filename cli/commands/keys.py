"""`overnight keys`: the key that signs versions here, and the keys that are trusted."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from overnight.cli.commands.parameters import AsJson, Model

app = typer.Typer(
    help=(
        "Keys that sign versions, and keys that are trusted.\n\n"
        "A version is served only where the keys are trusted that signed it, the decision about "
        "it and the record that promoted it. `overnight up` makes a key for each identity that "
        "signs, all trusted on this machine. To replace one: rotate, sign what it signed, and "
        "revoke the old key."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
)
Name = Annotated[str, typer.Argument(help="The name of the key, such as training-2026.")]
Of = Annotated[
    Literal["training", "administration", "operator", "serving"],
    typer.Option(
        "--for",
        help="Whose key: training signs versions and what gates decide; administration decisions "
        "and moves of aliases; operator moves by administrators over HTTP; serving withdrawals.",
    ),
]


@app.command()
def new(
    name: Name,
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="Write it here, to be trusted everywhere before `rotate --to`."),
    ] = None,
    of: Of = "training",
) -> None:
    """Make the key that signs here, by default versions, or with --file one for later.

    Examples:

        overnight keys new training-2026

        overnight keys new training-2027 --file next.pem

        overnight keys new host-7 --for serving
    """
    from overnight.cli.actions import keys

    keys.new(name, file, of=of)


@app.command()
def rotate(
    name: Name,
    *,
    to: Annotated[
        Path | None, typer.Option(help="A key made by `new --file`; the file is moved.")
    ] = None,
    of: Of = "training",
) -> None:
    """Sign with another key from now on; the old key stays trusted until it is revoked.

    Examples:

        overnight keys rotate training-2027

        overnight keys rotate training-2027 --to next.pem
    """
    from overnight.cli.actions import keys

    keys.rotate(name, to, of=of)


@app.command()
def trust(
    name: Name,
    key: Annotated[str, typer.Argument(help="The public key: ed25519:… as `list` shows it.")],
    rights: Annotated[
        str | None,
        typer.Argument(
            help="What it may sign, separated by commas: versions, gates (what gates decide), "
            "decisions, aliases, withdrawals; versions,gates when left out."
        ),
    ] = None,
) -> None:
    """Trust a key: what it signed counts here.

    Examples:

        overnight keys trust training-2027 ed25519:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
    """
    from overnight.cli.actions import keys

    keys.trust(name, key, rights)


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
        bool,
        typer.Option(
            "--yes", help="Also versions, approvals and alias records that no trusted key signed."
        ),
    ] = False,
) -> None:
    """Sign existing versions, the approvals of them, and the records of champion and challenger.

    The files of a version are checked first. Without a version argument, only what a trusted key
    signed is signed. The rest is listed: name the version, or pass --yes, to confirm that it is
    yours. Exits with 1 when some is left unsigned.

    Examples:

        overnight keys sign digits

        overnight keys sign digits --yes        (all that an earlier release left unsigned)

        overnight keys sign digits 20261122T020000-0123456789ab
    """
    from overnight.cli.actions import keys

    keys.sign(model, version, yes=yes)
