"""What `overnight why` tells."""

import json
import sys
from collections.abc import Mapping

from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.cli.terminal import new_table, open_console
from overnight.flows.run.dry_run import DryRun, dry_run
from overnight.infra.prefect_api import Document


def run(model: str, changed: Mapping[str, float | int | None], *, as_json: bool) -> None:
    """Tell every axis, then what a run would do; leaves with 4 when that is nothing.

    Raises:
        NotFound: nothing was ever taken in. StoreUnavailable: the store cannot be asked.
    """
    seen = dry_run(model, changed, take_in=True)
    if as_json:
        print(json.dumps(document(seen), indent=2))
    else:
        _print(model, seen)
    if not seen.would_train:
        sys.exit(NOTHING_TO_DO)


def document(seen: DryRun) -> Document:
    """The same for a program."""
    return {
        "champion": seen.champion.version if seen.champion else None,
        "axes": [vars(axis) for axis in seen.axes],
        "arrivals": list(seen.arrivals),
        "progress": str(seen.memory.progress),
        "message": seen.memory.message,
        "would_train": seen.would_train,
    }


def told(seen: DryRun) -> str:
    """What a run would do, in one sentence."""
    if seen.arrivals:
        return f"The next run takes in {', '.join(seen.arrivals)} and trains on it."
    if not seen.would_train:
        return f"The next run has nothing to do: {seen.memory.message}."
    if seen.memory.version:
        return f"The next run goes on where one stopped: {seen.memory.message}."
    return "The next run trains."


def _print(model: str, seen: DryRun) -> None:
    console = open_console()
    if seen.champion is None:
        console.print(f"{model} has no champion yet.")
    else:
        console.print(f"{model}, since {seen.champion.version} was made:", style="bold")
        table = new_table("", "axis", "")
        for axis in seen.axes:
            mark = "changed" if axis.changed else "same"
            table.add_row(mark, axis.name, axis.detail, style="bold" if axis.changed else "")
        console.print(table)
    console.print(told(seen))
