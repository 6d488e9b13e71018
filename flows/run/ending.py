"""The name of a run and its end: what Prefect's lists show of it."""

import re
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from overnight.flows.run.run_records import record_cancelled
from overnight.tasks.outcomes import GREY, OUTCOMES, RED, Outcome, OutcomeOfRun, without_outcome

# Two words at random, with which the scheduler and the form fill the name: `wandering-ant`.
_GENERATED = re.compile(r"[A-Za-z]+-[A-Za-z]+")


def run_name() -> str:
    """The name of the current run by model and time in UTC; one that a person typed stays.

    A callable, because Prefect would put a template in the place of a typed name, too.
    """
    given = without_outcome(str(flow_run.name or ""))
    if given and not _GENERATED.fullmatch(given):
        return given
    at = flow_run.scheduled_start_time or datetime.now(UTC)
    subject = (flow_run.parameters or {}).get("model") or flow_run.flow_name
    return f"{subject} {at.astimezone(UTC):%Y-%m-%d %H:%M}"


def end(outcome: Outcome, message: str) -> State:
    """The state in which the current run ends: green, red where somebody has to act, or grey.

    The state has Prefect's own name, by which its lists and filters find it. The outcome begins
    the message, ends the name of the run, and is one of its tags.
    """
    _label(outcome)
    text = str(OutcomeOfRun(outcome, message))
    if outcome in RED:
        return Failed(message=text)
    if outcome in GREY:
        cancelled: State = Cancelled(message=text)
        record_cancelled(cancelled)
        return cancelled
    return Completed(message=text)


def label_decided(run_id: str, decision: str) -> None:
    """Name and tag a run that waited for a person by what the person decided: approved, rejected.

    Nothing where the run is gone, or did not wait.
    """
    waiting: Outcome = "AwaitingApproval"
    try:
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(run_id))
            if waiting in run.tags:
                name = f"{without_outcome(run.name)} {decision}"
                tags = sorted({*run.tags, decision} - {waiting})
                client.update_flow_run(run.id, name=name, tags=tags)
    except (httpx.HTTPError, PrefectException, ValueError) as error:
        get_run_logger().warning("the run that waited is not named by the decision: %s", error)


def _label(outcome: Outcome) -> None:
    """Name and tag the current run by its outcome; that this fails changes no outcome."""
    if not flow_run.id:
        return
    name = f"{without_outcome(str(flow_run.name))} {outcome}"
    # Of an earlier try of this run.
    tags = sorted({*flow_run.tags, outcome} - (OUTCOMES - {outcome}))
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=name, tags=tags)
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("the run is not named by its outcome: %s", error)
