"""The monitor run: what was answered and labelled, how good it was, and what follows from it."""

from dataclasses import replace
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import end, run_name
from overnight.flows.run.parameters import ModelName
from overnight.flows.run.run_records import HOOKS
from overnight.flows.steps import monitoring
from overnight.flows.steps.finish import await_confirmation, finish
from overnight.flows.steps.monitoring import MonitorContext
from overnight.store.errors import AlreadyExists, PromotionConflict
from overnight.store.registry.monitoring import MonitorRecord
from overnight.tasks.reporting.report import RunReport


@flow(name="monitor", flow_run_name=run_name, persist_result=False, **HOOKS)
def monitor(model: ModelName = "digits") -> State:
    """Collect answers and labels, measure live quality and drift, and record what follows.

    A run that was killed is continued by the next one: what it collected is in the tables, and a
    consequence that it decided and did not carry out is carried out first.

    Args:
        model: The model that is watched.
    """
    context = ModelContext.open(model)
    monitored = monitoring.open_log(context)
    report = RunReport(model=model, champion=monitored.champion)
    monitoring.expire(context)
    if context.definition.watching.log is None:
        return _without_card("NothingNew", f"{model} declares that nothing is recorded")
    if (unfinished := monitoring.unfinished(monitored)) is not None:
        return _follow(context, report, monitored, unfinished)
    monitoring.collect(context)
    period = monitoring.observe(context, monitored)
    if period.is_empty:
        since = f" since {period.since:%Y-%m-%d %H:%M} UTC" if period.since else ""
        message = (
            f"nothing was shipped{since}; a host ships what it records within a minute "
            "(OVERNIGHT_PREDICTION_LOG_SEGMENT_SECONDS)"
        )
        return _without_card("NothingNew", message)
    measured = monitoring.measure(context, monitored, period)
    compared = monitoring.compare_versions(context, monitored, period)
    try:
        record = monitoring.record(context, monitored, period, measured, compared)
    except AlreadyExists:
        message = f"another run wrote record {monitored.sequence} first, of the same answers"
        return _without_card("Superseded", message)
    section = monitoring.card_section(context, monitored, record, measured, period)
    return _follow(context, replace(report, monitored=section), monitored, record)


def _without_card(outcome: Literal["NothingNew", "Superseded"], message: str) -> State:
    """End a run that wrote no record: the card of the newest record stays that of the model."""
    return end(outcome, message)


def _follow(
    context: ModelContext, report: RunReport, monitored: MonitorContext, record: MonitorRecord
) -> State:
    """Carry out what a record decided, and end the run."""
    consequence = record.consequence
    message = consequence.reason
    if consequence.action == "roll back":
        try:
            undone = monitoring.roll_back(context, monitored, record)
        except PromotionConflict as error:
            return finish(context, report, "Superseded", str(error))
        manifest = context.registry.manifest(undone.version)
        return await_confirmation(context, replace(report, manifest=manifest), undone, "RolledBack")
    if consequence.action == "retrain":
        message = monitoring.request_retraining(context, monitored, record)
    elif record.alarms:
        message = f"{consequence.action}: {message}"
    healthy = not record.alarms and consequence.action == "nothing"
    return finish(context, report, "Healthy" if healthy else "Drifted", message)
