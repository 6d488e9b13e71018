"""Training of a model's first version, for `overnight up`."""

import time

from rich.console import Console

from overnight.cli.runs import exit_codes, follow
from overnight.infra import connections
from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.settings import Settings
from overnight.infra.stack.ports import responds
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.errors import StepFailed


def ensure(settings: Settings, model: str, console: Console) -> Document | None:
    """Train a first version and wait until serving has loaded it; None when there is a champion.

    A run that is in progress is followed, and no second one started.

    Raises:
        StepFailed: a version was promoted and serving does not load it.
    """
    bucket, trust = connections.bucket(settings), connections.known_trust(settings)
    log = ModelRegistry(bucket, model, trust).champion
    state = None
    if log.current() is None:
        api = connections.prefect(settings)
        run = _run_in_progress(api, model) or follow.trigger(
            api, "retrain", model, {"requested_by": follow.user(), "reason": "the first version"}
        )
        state = follow.follow(settings, run, model, console)
        console.print(f"{model}  {exit_codes.format_state(state)}")
    # The run may have ended without a champion: refused, or waiting for approval.
    if log.current() is not None:
        _await_serving(settings, model)
    return state


def _run_in_progress(api: PrefectApi, model: str) -> Document | None:
    deployment = follow.deployment(api, "retrain", model)
    runs = api.filter(
        "/flow_runs",
        deployments={"id": {"any_": [deployment["id"]]}},
        flow_runs={"state": {"type": {"any_": ["RUNNING", "PENDING", "SCHEDULED"]}}},
    )
    # Runs that the schedule has planned for later are not in progress.
    current = [run for run in runs if run["state_type"] != "SCHEDULED" or not run["auto_scheduled"]]
    return current[0] if current else None


def _await_serving(settings: Settings, model: str) -> None:
    url = f"{settings.answers_url}/v2/models/{model}/ready"
    # The replicas load the version within seconds; a busy machine may need many more.
    deadline = time.monotonic() + settings.up_seconds
    while time.monotonic() < deadline:
        if responds(url, timeout_seconds=5):
            return
        time.sleep(0.3)
    raise StepFailed(f"serving does not answer for {model} at {url}; see `overnight status`")
