"""`overnight verify`, `gc`, `export` and `import`: maintenance of the bucket."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson

OneModel = Annotated[str | None, typer.Argument(help="Only this model; every model if left out.")]


def verify(
    model: OneModel = None,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Add missing objects from exact copies elsewhere.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", file_okay=False, exists=True, help="An export to repair from."),
    ] = None,
    without_signatures: Annotated[
        bool,
        typer.Option("--without-signatures", help="Do not fail because no key is trusted here."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read everything in the bucket, and report what is missing, damaged or inconsistent.

    Checks versions file by file with their signatures, alias logs, decisions, every table, and the
    snapshot each version was trained on. Exits with 0 without findings, and with 1 when there are
    any, or no key to verify signatures by. Pending arrivals, quarantine and decisions are listed,
    and are no findings.

    --repair never replaces or removes anything. It adds missing files of a version from the cache
    of serving on this machine, and with --from every missing object from an export.

    Examples:

        overnight verify

        overnight verify digits --json | jq -r '.findings[].key'

        overnight verify --repair --from /backup/monday
    """
    from overnight.cli.actions.bucket import verify as verify_action

    if source is not None and not repair:
        raise typer.BadParameter("goes with --repair", param_hint="--from")
    verify_action.run(
        model, repair=repair, source=source, as_json=as_json, without_signatures=without_signatures
    )


def gc(
    model: OneModel = None,
    *,
    delete: Annotated[
        bool, typer.Option("--delete/--dry-run", help="Delete what is listed, or only list it.")
    ] = False,
    keep: Annotated[
        int, typer.Option(min=1, help="Newest versions and last champions to keep.")
    ] = 10,
    days: Annotated[
        float, typer.Option(min=0, help="Keep versions made or served within so many days.")
    ] = 30,
    grace_days: Annotated[
        float, typer.Option(min=0.1, help="Keep unfinished writes for so many days.")
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """List unused files of versions and tables and their size; with --delete, delete them.

    Networks of old versions are deleted; their manifest, decision, signatures and report are kept.
    Always kept: versions that an alias points at, that wait for a decision or may still be
    promoted, the last champions, and versions that a kept one continued from. Unfinished versions
    and files of tables that no version needs are deleted after the days of grace, and records of
    runs 400 days after their month.

    Safe during pipeline runs and serving. Exits with 0, also when there is nothing to delete.

    Examples:

        overnight gc

        overnight gc digits --keep 30 --days 90 --delete
    """
    from overnight.cli.actions.bucket import gc as gc_action

    gc_action.run(
        model, delete=delete, keep=keep, days=days, grace_days=grace_days, as_json=as_json
    )


def export(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="A new or empty folder.")],
) -> None:
    """Copy the whole bucket into a folder: plain files, and an index with the sha256 of each.

    The copy is of one moment, also during pipeline runs. If interrupted, run it again: it resumes.

    Examples:

        overnight export /backup/monday
    """
    from overnight.cli.actions.bucket import transfer

    transfer.export(folder)


def import_(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Made by `overnight export`.")
    ],
) -> None:
    """Restore an export into the configured bucket, which has to be empty; all is read back.

    Tables, versions, signatures and logs are restored unchanged; serving can use the bucket at
    once. If interrupted, run it again: it resumes.

    Examples:

        overnight import /backup/monday

        OVERNIGHT_S3_ENDPOINT=https://s3.example.com overnight import /backup/monday
    """
    from overnight.cli.actions.bucket import transfer

    transfer.import_(folder)
