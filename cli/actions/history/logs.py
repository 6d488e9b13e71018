"""`overnight logs`: the log of a run."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console

from overnight.cli.runs import listing
from overnight.cli.runs.exit_codes import ENDED
from overnight.cli.terminal import format_seconds, format_time, open_console
from overnight.infra import connections
from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.settings import load

# Prefect returns at most so many lines at once.
_PAGE = 200
_POLL_SECONDS = 2.0
# Of Python's logging.
_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


def run(text: str, *, flow: str | None, follow: bool, as_json: bool) -> None:
    """Print the log of a run by its id or name, or of the last run of a model.

    Raises:
        UnknownRun, AmbiguousRun, OrchestratorUnavailable, OrchestratorRefused
    """
    api = connections.prefect(load())
    chosen = listing.find(api, text, flow=flow)
    if as_json:
        print(json.dumps(chosen | {"log": list(lines(api, chosen["id"]))}, indent=2))
        return
    console = open_console()
    console.print(_title(chosen), style="bold")
    printed = _print(lines(api, chosen["id"]), console)
    while follow and chosen["type"] not in ENDED:
        time.sleep(_POLL_SECONDS)
        # The state first: what was logged before the end is then read after it.
        chosen = listing.find(api, chosen["id"])
        printed += _print(lines(api, chosen["id"], after=printed), console)
    if not printed:
        console.print("nothing was logged")
    message = f": {chosen['message']}" if chosen["message"] else ""
    console.print(f"{chosen['state']}{message}", style="bold")


def lines(api: PrefectApi, run_id: str, *, after: int = 0) -> Iterator[Document]:
    """The lines of a run's log in order, from the line `after` on, each with its step."""
    of_run = {"id": {"any_": [run_id]}}
    steps: dict[str, str] = {}
    while True:
        page = api.filter(
            "/logs",
            logs={"flow_run_id": {"any_": [run_id]}},
            sort="TIMESTAMP_ASC",
            limit=_PAGE,
            offset=after,
        )
        if {line["task_run_id"] for line in page} - {None, *steps}:
            steps = {
                task["id"]: step_of(task["name"])
                for task in api.filter("/task_runs", flow_runs=of_run)
            }
        for line in page:
            yield {
                "at": line["timestamp"],
                "level": _LEVELS.get(line["level"], str(line["level"])),
                "step": steps.get(line["task_run_id"], ""),
                "message": line["message"],
            }
        if len(page) < _PAGE:
            return
        after += len(page)


def step_of(task: str) -> str:
    """The name of a step: Prefect names a task run by its task and a number or a hash."""
    return task.rpartition("-")[0] or task


def _title(run: Document) -> str:
    began = f"{format_time(run['started'])} UTC" if run["started"] else "not begun yet"
    return f"{run['flow']}, {began}, {format_seconds(run['seconds'])}, run {run['id']}"


def _print(log: Iterator[Document], console: Console) -> int:
    """Print lines, each with its second in UTC, and return how many."""
    count = 0
    for line in log:
        at = datetime.fromisoformat(line["at"]).astimezone(UTC)
        step = f"{line['step']}: " if line["step"] else ""
        level = "" if line["level"] == "INFO" else f"{line['level']} "
        style = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}.get(line["level"], "")
        console.print(f"{at:%H:%M:%S} {level}{step}{line['message']}", style=style)
        count += 1
    return count
