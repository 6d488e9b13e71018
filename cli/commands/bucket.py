"""`overnight verify`, `gc`, `export` and `import`: the bucket looked after."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson

OneModel = Annotated[str | None, typer.Argument(help="Only this model; every model if left out.")]


def verify(
    model: OneModel = None,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Add what is missing and kept elsewhere, to the byte.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", file_okay=False, exists=True, help="An export to repair from."),
    ] = None,
    without_signatures: Annotated[
        bool,
        typer.Option("--without-signatures", help="No key is trusted here, and that is meant."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read everything in the bucket, and tell what is lost, damaged or not as it should be.

    Versions file by file and their signatures, alias logs, decisions, every table, and the
    snapshot each version was made from. Ends with 0 when all is well, and 1 when there are
    findings, or no key to verify signatures by. What merely waits (arrivals, quarantine,
    decisions) is told, and is no finding.

    --repair never replaces or removes anything. It adds missing files of a version from the cache
    of serving on this machine, and with --from any missing object from an export.

    Examples:

        overnight verify

        overnight verify digits --json | jq -r '.findings[].key'

        overnight verify --repair --from /backup/monday
    """
    from overnight.cli.actions import verify as verify_page

    if source is not None and not repair:
        raise typer.BadParameter("goes with --repair", param_hint="--from")
    verify_page.run(
        model,
        repair=repair,
        source=source,
        as_json=as_json,
        without_signatures=without_signatures,
    )


def gc(
    model: OneModel = None,
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Do it; without, it is only told.")
    ] = False,
    keep: Annotated[
        int, typer.Option(min=1, help="So many newest versions and last champions stay.")
    ] = 10,
    days: Annotated[
        float, typer.Option(min=0, help="What was made or served within so many days stays.")
    ] = 30,
    grace_days: Annotated[
        float, typer.Option(min=0.1, help="For so long something half-written may be under way.")
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """Tell what nobody needs any more and how large it is; with --delete, let go of it.

    Networks of old versions go, and what explains them stays: manifest, decision, signatures and
    report. Never touched: what an alias points at, what waits for a decision or may still be
    promoted, the last champions, what a version that stays continued from. Half-written versions
    and files of tables that no version needs go after their days of grace.

    Safe beside nights and serving. Ends with 0, and with 4 when there is nothing to let go of.

    Examples:

        overnight gc

        overnight gc digits --keep 30 --days 90 --delete
    """
    from overnight.cli.actions import gc as gc_page

    gc_page.run(model, delete=delete, keep=keep, days=days, grace_days=grace_days, as_json=as_json)


def export(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="A new or empty folder.")],
) -> None:
    """Copy the whole bucket into a folder: plain files, and an index with the sha256 of each.

    It is a copy of one moment, also while nights run. Cut off, run it again: it goes on.

    Examples:

        overnight export /backup/monday
    """
    from overnight.cli.actions import transfer

    transfer.export(folder)


def import_(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="What `overnight export` made.")
    ],
) -> None:
    """Put an export into the store of the settings, which has to be empty; all is read back.

    Tables, versions, signatures and logs are there as they were; serving that is pointed at the
    store answers from it. Cut off, run it again: it goes on.

    Examples:

        overnight import /backup/monday

        OVERNIGHT_S3_ENDPOINT=https://s3.example.com overnight import /backup/monday
    """
    from overnight.cli.actions import transfer

    transfer.import_(folder)
