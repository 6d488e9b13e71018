"""Triggers a deployment and follows its run: state, step and the progress of training."""

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
from overnight.infra.stack.prefect_services import ui_url
from overnight.store.errors import ConfigurationError

_LOOK_SECONDS = 0.7
_LATE_SECONDS = 20.0
# A server that starts again, or whose database is locked, is back by then.
PATIENCE_SECONDS = 300.0
_FAULT = 500
# What carries out a decision is deployed once for all models, and asked for one of them.
ANY_MODEL = "any-model"
FOR_ANY_MODEL = frozenset({"accept", "challenge", "promote", "rollback"})


@dataclass(frozen=True)
class Glimpse:
    """A run at one moment. `percent` is that of its training, when it trains."""

    state: Document
    step: str
    percent: float | None

    @property
    def ended(self) -> bool:
        return self.state["type"] in ENDED

    def __str__(self) -> str:
        return f"{self.state['name']} · {self.step}" if self.step else str(self.state["name"])


def user() -> str:
    """Who asks, as this machine knows them; stands in decisions and alias records for ever."""
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
    found = api.find(f"/deployments/name/{name}")
    if found is None:
        raise ConfigurationError(
            f"Prefect at {api.url} has no deployment {name}; check the model's name, and "
            "that deployments.yaml has it, then `overnight up`"
        )
    return found


def trigger(api: PrefectApi, flow: str, model: str, parameters: dict[str, Any]) -> Document:
    """Schedule a run for now."""
    found = deployment(api, flow, model)
    body = {
        "parameters": {"model": model, **parameters},
        "state": {"type": "SCHEDULED"},
        # Asked twice, it is still one run.
        "idempotency_key": uuid.uuid4().hex,
    }
    run: Document = api.request("POST", f"/deployments/{found['id']}/create_flow_run", body)
    return run


def glimpse(api: PrefectApi, run_id: str, model: str) -> Glimpse:
    """Look at a run once."""
    state = api.request("GET", f"/flow_runs/{run_id}")["state"]
    of_run = {"id": {"any_": [run_id]}}
    running = api.filter(
        "/task_runs",
        flow_runs=of_run,
        task_runs={"state": {"type": {"any_": ["RUNNING"]}}},
    )
    progress = api.filter(
        "/artifacts",
        artifacts={"flow_run_id": {"any_": [run_id]}, "key": {"any_": [f"{model}-training"]}},
        sort="UPDATED_DESC",
        limit=1,
    )
    step = running[-1]["name"].rpartition("-")[0] or running[-1]["name"] if running else ""
    percent = float(progress[0]["data"]) if progress and progress[0]["data"] is not None else None
    return Glimpse(state, step, percent)


def follow(
    settings: Settings,
    run: Document,
    model: str,
    console: Console,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Document:
    """Show a run until it ends, and return its last state.

    While Prefect does not answer the run goes on, so it is asked again, for so many seconds.

    Raises:
        OrchestratorUnavailable: it did not answer for as long.
        OrchestratorRefused: it refuses to tell, or failed for as long.
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
        look = partial(_patiently, api, run["id"], model, console, patience_seconds)
        return _follow(look, console, bar)


def _follow(look: Callable[[], Glimpse], console: Console, bar: Progress) -> Document:
    line = bar.add_task("Scheduled", total=None)
    late = time.monotonic() + _LATE_SECONDS
    told = ""
    while not (seen := look()).ended:
        total = None if seen.percent is None else 100
        bar.update(line, description=str(seen), total=total, completed=seen.percent or 0)
        if str(seen) != told and not console.is_terminal:
            told = str(seen)
            console.print(told)
        if seen.state["type"] == "SCHEDULED" and time.monotonic() > late:
            console.print("still waiting for a worker; `overnight status` shows whether one runs")
            late = float("inf")
        time.sleep(_LOOK_SECONDS)
    return seen.state


def _patiently(
    api: PrefectApi, run_id: str, model: str, console: Console, seconds: float
) -> Glimpse:
    patience_ends = time.monotonic() + seconds
    is_told = False
    while True:
        try:
            return glimpse(api, run_id, model)
        except (OrchestratorUnavailable, OrchestratorRefused) as error:
            is_final = isinstance(error, OrchestratorRefused) and error.status < _FAULT
            if is_final or time.monotonic() > patience_ends:
                raise
            if not is_told:
                console.print("Prefect does not answer; the run goes on, and it is asked again")
            is_told = True
            time.sleep(_LOOK_SECONDS)
