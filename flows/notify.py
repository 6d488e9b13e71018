"""Notify people of the end of a run, of a late run, or of alarms; started by automations."""

from collections.abc import Sequence
from datetime import datetime

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State

from overnight.flows.run.channels import channels
from overnight.flows.run.ending import end, run_name
from overnight.flows.run.summary_facts import headline
from overnight.infra import connections
from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.settings import Settings, load
from overnight.infra.stack.prefect_services import ui_url
from overnight.store.errors import OvernightError
from overnight.store.registry.monitoring import MonitorLog, MonitorRecord
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks import outcomes
from overnight.tasks.notify import occasions
from overnight.tasks.notify.delivery import ChannelResult, deliver
from overnight.tasks.notify.message import Link, Message
from overnight.tasks.notify.occasions import KIND_OF_OUTCOME, LATE, NotifiedRun

_NEWEST_VERSIONS = 3
_OUTCOMES_OF_VERSIONS = ("AwaitingApproval", "RolledBack", "Unconfirmed", "Superseded")


# The limit is for a channel that hangs in spite of its own time-outs: this run holds up nobody.
@flow(name="notify", flow_run_name=run_name, persist_result=False, timeout_seconds=600)
def notify(run: str, state: str, blocks: bool = True) -> State:
    """Notify people by every channel of what happened to a run.

    Args:
        run: The id of the run whose state changed.
        state: The name of that state in Prefect, such as Completed.
        blocks: Also by Prefect's notification blocks. Of late runs the server itself notifies by
            them.
    """
    settings = load()
    message = _of_run(settings, run, state)
    if message is None or message.kind not in settings.notify_kinds:
        return end("NothingNew", "nobody needs to know, or knows already")
    return report(deliver(message, channels(settings, blocks=blocks)), message)


def report(results: Sequence[ChannelResult], message: Message) -> State:
    """The end of a run that notified: red where a channel did not take the message."""
    shown = f"{message.subject}: {'; '.join(map(str, results)) or 'no channel is set'}"
    if any(result.problem for result in results):
        get_run_logger().error("not delivered everywhere: %s", shown)
        return end("Undelivered", shown)
    return end("Delivered", shown)


def _of_run(settings: Settings, run: str, state: str) -> Message | None:
    api = connections.prefect(settings)
    document = api.find(f"/flow_runs/{run}")
    # Deleted meanwhile, or a late run that began after all.
    if document is None or (state == LATE and document["state_type"] != "SCHEDULED"):
        return None
    ended = _described(settings, api, document, state)
    if KIND_OF_OUTCOME.get(ended.outcome) == "alarm":
        record, before = _records(settings, ended.model)
        links = _links(settings, ended.model)
        return occasions.of_alarms(ended, record, before, links=links)
    figures: tuple[tuple[str, str], ...] = ()
    if ended.outcome in _OUTCOMES_OF_VERSIONS and ended.model:
        try:
            figures = _figures(settings, ended.model, run)
        except OvernightError as error:
            get_run_logger().warning("without figures of the version: %s", error)
    return occasions.of_run(ended, figures=figures, links=_links(settings, ended.model))


def _described(settings: Settings, api: PrefectApi, document: Document, state: str) -> NotifiedRun:
    states = api.request("GET", f"/flow_run_states/?flow_run_id={document['id']}")
    # By the time this runs it may be in another state, such as one that starts it again.
    named = [each for each in states if each["name"] == state] or [document["state"]]
    newest = max(named, key=lambda each: str(each["timestamp"]))
    flow_of_run = api.find(f"/flows/{document['flow_id']}") or {"name": ""}
    due = document["expected_start_time"]
    ended = outcomes.of_state(newest)
    return NotifiedRun(
        flow=flow_of_run["name"],
        name=document["name"],
        outcome=ended.outcome,
        message=ended.message,
        model=str(document["parameters"].get("model") or ""),
        starts=document["run_count"],
        retried="retry" in document["tags"],
        seconds=document["total_run_time"],
        since=datetime.fromisoformat(due) if due else None,
        at=datetime.fromisoformat(newest["timestamp"]),
        url=f"{ui_url(settings)}/runs/flow-run/{document['id']}",
    )


def _figures(settings: Settings, model: str, run: str) -> tuple[tuple[str, str], ...]:
    """The version that a run made, and its quality beside that of the champion."""
    registry = ModelRegistry(connections.bucket(settings), model)
    newest = registry.readable_manifests(registry.versions()[-_NEWEST_VERSIONS:]).values()
    made = next((manifest for manifest in newest if manifest.run.id == run), None)
    if made is None:
        return ()
    return ("version", made.version), ("quality", headline(registry, made))


def _records(settings: Settings, model: str) -> tuple[MonitorRecord | None, MonitorRecord | None]:
    """The newest record of the monitor, which runs one after another, and the one before it."""
    log = MonitorLog(connections.bucket(settings), model)
    try:
        newest = log.recent(2).records
    except OvernightError as error:
        get_run_logger().warning("which alarms are new is not known: %s", error)
        return None, None
    record, before = (*newest, None, None)[:2]
    return record, before


def _links(settings: Settings, model: str) -> tuple[Link, ...]:
    return (Link("Serving", settings.answers_url),) if model else ()
