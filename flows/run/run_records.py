"""Hooks that keep records of runs in the bucket, for pages that do without Prefect."""

import logging
from datetime import UTC, datetime
from typing import Any

from prefect.context import FlowRunContext
from prefect.utilities.urls import url_for

from overnight.infra import connections
from overnight.infra.settings import Settings, load
from overnight.store.errors import OvernightError
from overnight.store.objects.s3 import S3Bucket
from overnight.store.registry.runs import LONGEST_MESSAGE, RunRecord, Runs
from overnight.tasks import outcomes

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 5
# So many days of a nightly schedule; Prefect plans about four ahead.
_PLANNED = 10


def record_start(flow: Any, run: Any, _state: Any) -> None:
    """Record that a run began, when it enters Running."""
    _keep(flow, run, event="started", outcome="", message="")


def record_failure(flow: Any, run: Any, state: Any) -> None:
    """Record a run that failed or crashed; Prefect's runner calls it for a killed process."""
    end = outcomes.read(state.name, state.message)
    _keep(flow, run, event="ended", outcome=end.outcome, message=end.message, failed=True)


def record_end(flow: Any, run: Any, state: Any) -> None:
    """Record a run that ended in one of our outcomes."""
    end = outcomes.read(state.name, state.message)
    _keep(flow, run, event="ended", outcome=end.outcome, message=end.message)


def record_cancelled(state: Any) -> None:
    """Record the end of the current run in a state for which Prefect calls no hook.

    `on_cancellation` is called for runs that somebody cancels, and not for a run that returns
    Cancelled itself. Flows without these hooks leave no record, as before.
    """
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return
    if record_end in (context.flow.on_cancellation_hooks or ()):
        record_end(context.flow, context.flow_run, state)


# For `@flow`: every end of a run leaves a record, also that of a process that was killed.
HOOKS: dict[str, Any] = {
    "on_running": [record_start],
    "on_completion": [record_end],
    "on_cancellation": [record_end],
    "on_failure": [record_failure],
    "on_crashed": [record_failure],
}


def _keep(flow: Any, run: Any, **fields: Any) -> None:
    """Write one record; that this fails changes no outcome."""
    model = (run.parameters or {}).get("model")
    if not model:
        return
    try:
        settings = load()
        record = RunRecord(
            model=model,
            flow=flow.name,
            run=str(run.id),
            name=run.name or "",
            url=url_for("flow-run", obj_id=run.id) or "",
            started=run.start_time or datetime.now(UTC),
            by=(run.parameters or {}).get("requested_by") or "",
            due=_due(settings, run),
            **(fields | {"message": fields["message"][:LONGEST_MESSAGE]}),
        )
        Runs(S3Bucket(connections.address(settings), read_seconds=10, tries=1), model).keep(record)
    except (OvernightError, OSError, ValueError) as error:
        logger.warning("%s: the page will not know of this run: %s", model, error)


def _due(settings: Settings, run: Any) -> tuple[datetime, ...] | None:
    """When Prefect plans to start the deployment of a run next; None where it does not answer."""
    if run.deployment_id is None:
        return None
    try:
        planned = connections.prefect(settings, timeout_seconds=_TIMEOUT_SECONDS).filter(
            "/flow_runs",
            flow_runs={
                "deployment_id": {"any_": [str(run.deployment_id)]},
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "expected_start_time": {"after_": datetime.now(UTC).isoformat()},
                "tags": {"all_": ["auto-scheduled"]},
            },
            sort="EXPECTED_START_TIME_ASC",
            limit=_PLANNED,
        )
    except OvernightError:
        return None
    return tuple(datetime.fromisoformat(each["expected_start_time"]) for each in planned)
