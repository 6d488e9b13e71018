"""Starts a run of a deployment, and follows its state, step and training progress."""

import getpass
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from overnight.cli.runs.exit_codes import ENDED
from overnight.infra import connections
from overnight.infra.errors import OrchestratorRefused, OrchestratorUnavailable
from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.settings import Settings
from overnight.infra.stack import held_runs
from overnight.infra.stack.prefect_services import ui_url
from overnight.store.errors import ConfigurationError

_POLL_SECONDS = 0.7
_LATE_SECONDS = 20.0
# Long enough for a server that restarts, or whose database is locked.
RETRY_SECONDS = 300.0
_SERVER_ERROR = 500
# These flows are deployed once for all models; the model is a parameter.
ANY_MODEL = "any-model"
FOR_ANY_MODEL = frozenset({"accept", "challenge", "promote", "rollback", "score"})


@dataclass(frozen=True)
class RunStatus:
    """A run at one moment; `percent` of its training, while it trains."""

    state: Document
    step: str
    percent: float | None

    @property
    def ended(self) -> bool:
        return self.state["type"] in ENDED

    def __str__(self) -> str:
        return f"{self.state['name']} · {self.step}" if self.step else str(self.state["name"])


def user() -> str:
    """The user of this machine, for decisions and alias records."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


def deployment(api: PrefectApi, flow: str, model: str) -> Document:
    """The deployment of a flow for a model.

    Raises:
        ConfigurationError: there is none on this server.
    """
    name = f"{flow}/{ANY_MODEL if flow in FOR_ANY_MODEL else model}"
    document = api.find(f"/deployments/name/{name}")
    if document is None:
        raise ConfigurationError(
            f"Prefect at {api.url} has no deployment {name}, only {_deployed(api, flow)}; check "
            "the model's name. `overnight up` or `overnight deploy` adds what was declared since"
        )
    return document


def _deployed(api: PrefectApi, flow: str) -> str:
    deployments = api.filter("/deployments", flows={"name": {"any_": [flow]}})
    return ", ".join(sorted(f"{flow}/{each['name']}" for each in deployments)) or "others"


def trigger(api: PrefectApi, flow: str, model: str, parameters: dict[str, Any]) -> Document:
    """Schedule a run for now."""
    body = {
        "parameters": {"model": model, **parameters},
        "state": {"type": "SCHEDULED"},
        # A request that is repeated after a lost answer must not start a second run.
        "idempotency_key": uuid.uuid4().hex,
    }
    path = f"/deployments/{deployment(api, flow, model)['id']}/create_flow_run"
    run: Document = api.request("POST", path, body)
    return run


def pauses(api: PrefectApi, settings: Settings) -> list[str]:
    """What keeps runs from beginning, a sentence each; nothing where Prefect does not answer."""
    try:
        return held_runs.pauses(api, settings.work_pool, ui=ui_url(settings))
    except (OrchestratorUnavailable, OrchestratorRefused):
        return []


def why_waiting(api: PrefectApi, settings: Settings, state: Document) -> str:
    """Why a run in a scheduled state has not begun, as a sentence."""
    if paused := pauses(api, settings):
        return "; ".join(paused)
    if state["name"] == "AwaitingConcurrencySlot":
        return "another run of this flow and model has not ended; they run one after the other"
    return "no worker has taken the run; `overnight status` shows whether one runs"


def read_status(api: PrefectApi, run_id: str, model: str) -> RunStatus:
    """The status of a run now."""
    state = api.request("GET", f"/flow_runs/{run_id}")["state"]
    of_run = {"id": {"any_": [run_id]}}
    running = api.filter(
        "/task_runs", flow_runs=of_run, task_runs={"state": {"type": {"any_": ["RUNNING"]}}}
    )
    progress = api.filter(
        "/artifacts",
        artifacts={"flow_run_id": {"any_": [run_id]}, "key": {"any_": [f"{model}-training"]}},
        # A retried run has an artifact per try.
        sort="UPDATED_DESC",
        limit=1,
    )
    # Prefect names a task run by its task and a number or a hash.
    step = running[-1]["name"].rpartition("-")[0] or running[-1]["name"] if running else ""
    percent = float(progress[0]["data"]) if progress and progress[0]["data"] is not None else None
    return RunStatus(state, step, percent)


def follow(
    settings: Settings,
    run: Document,
    model: str,
    console: Console,
    *,
    retry_seconds: float = RETRY_SECONDS,
) -> Document:
    """Show a run until it ends, and return its last state.

    The run continues while Prefect does not answer, so requests are retried for `retry_seconds`.

    Raises:
        OrchestratorUnavailable: it did not answer for as long.
        OrchestratorRefused: it refused a request, or failed for as long.
    """
    api = connections.prefect(settings)
    console.print(f"run {run['name']}: {ui_url(settings)}/runs/flow-run/{run['id']}")
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        poll = partial(_read_with_retries, api, run["id"], model, console, retry_seconds)
        return _follow(poll, partial(why_waiting, api, settings), console, bar)


def _follow(
    poll: Callable[[], RunStatus], why: Callable[[Document], str], console: Console, bar: Progress
) -> Document:
    line = bar.add_task("Scheduled", total=None)
    late = time.monotonic() + _LATE_SECONDS
    printed = ""
    while not (status := poll()).ended:
        total = None if status.percent is None else 100
        bar.update(line, description=str(status), total=total, completed=status.percent or 0)
        if str(status) != printed and not console.is_terminal:
            printed = str(status)
            console.print(printed)
        if status.state["type"] == "SCHEDULED" and time.monotonic() > late:
            console.print(f"still waiting: {why(status.state)}")
            # Print this only once.
            late = float("inf")
        time.sleep(_POLL_SECONDS)
    return status.state


def _read_with_retries(
    api: PrefectApi, run_id: str, model: str, console: Console, seconds: float
) -> RunStatus:
    deadline = time.monotonic() + seconds
    is_reported = False
    while True:
        try:
            return read_status(api, run_id, model)
        except (OrchestratorUnavailable, OrchestratorRefused) as error:
            # A client error would only be repeated; a server error may pass.
            is_final = isinstance(error, OrchestratorRefused) and error.status < _SERVER_ERROR
            if is_final or time.monotonic() > deadline:
                raise
            if not is_reported:
                console.print("Prefect does not answer; the run continues, retrying")
            is_reported = True
            time.sleep(_POLL_SECONDS)
