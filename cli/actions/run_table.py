"""Runs as a table, for `overnight status` and `overnight runs`."""

from collections.abc import Sequence

from rich.console import Console

from overnight.cli.runs import listing
from overnight.cli.terminal import format_seconds, format_time, new_table, shorten
from overnight.infra.prefect_api import Document
from overnight.tasks import outcomes

# From this width on messages have a column; below it some have a line of their own.
_WIDE = 120
# A message is cut at a word; `overnight logs` prints all of it.
_LONGEST_MESSAGE = 200
_UNEVENTFUL = frozenset({"Promoted", "UpToDate", "NothingNew", "Ingested", "Healthy", "Summarized"})


def print_runs(runs: Sequence[Document], console: Console, *, ids: bool = False) -> None:
    """Print runs, with the ids that `overnight logs` takes where these are wanted.

    On a narrow terminal the messages follow: of the last run of each flow and model that ended
    otherwise than it is hoped to.
    """
    wide = console.width >= _WIDE
    some = (["run"] if ids else [], ["message"] if wide else [])
    table = new_table("started (UTC)", *some[0], "flow", "outcome", "took", *some[1])
    short = listing.short_ids(run["id"] for run in runs)
    for run in runs:
        took = "" if run["seconds"] is None else format_seconds(run["seconds"])
        message = shorten(run["message"] or "", _LONGEST_MESSAGE)
        table.add_row(
            format_time(run["started"]),
            *([short[run["id"]]] if ids else []),
            run["flow"],
            run["state"],
            took,
            *([message] if wide else []),
            style="red" if _is_red(run) else "",
        )
    console.print(table)
    seen: set[str] = set()
    for run in () if wide else runs:
        if run["flow"] not in seen and run["message"] and _is_eventful(run):
            message = shorten(run["message"], _LONGEST_MESSAGE)
            console.print(f"{run['flow']} {run['state']}: {message}", style="red" * _is_red(run))
        seen.add(run["flow"])


def _is_red(run: Document) -> bool:
    return run.get("type") in {"FAILED", "CRASHED"}


def _is_eventful(run: Document) -> bool:
    return _is_red(run) or run["state"] in outcomes.OUTCOMES - _UNEVENTFUL
