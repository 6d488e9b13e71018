"""The steps of a monitor run: collect, observe, measure, record, and carry out what follows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Literal
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from overnight.flows.run.context import ModelContext
from overnight.flows.run.dry_run import next_arrivals
from overnight.flows.steps.step import step
from overnight.infra import connections
from overnight.infra.stack.alarm_trigger import ALARM_EVENT, MONITOR, model_resource
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.reference import reference_in
from overnight.models.watching import PredictionLog
from overnight.store.errors import (
    ConfigurationError,
    CorruptVersion,
    PromotionConflict,
    UnknownVersion,
)
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.monitoring import CarriedOut, MonitorLog, MonitorRecord
from overnight.store.registry.promotions import Promotions, predecessor
from overnight.store.schema_translation import why_incomparable
from overnight.tasks.data.learned_arrivals import open_reviews
from overnight.tasks.monitoring import measure as measuring
from overnight.tasks.monitoring.arrived import arrived
from overnight.tasks.monitoring.collect import collect as collect_segments
from overnight.tasks.monitoring.decide import (
    Circumstances,
    decide,
    decided_pairs,
    last_request,
)
from overnight.tasks.monitoring.measure import Measured, ServedVersion
from overnight.tasks.monitoring.observe import ObservedPeriod
from overnight.tasks.monitoring.observe import observe as observe_period
from overnight.tasks.monitoring.worse import Compared, compare
from overnight.tasks.reporting.monitor_card import MonitorSection

# More than a year of daily records: pauses and pairs that were decided about are found in them.
_REMEMBERED = 400
# Of a model without labels: whose answers are shown.
_WINDOW_DAYS = 7.0
# The newest that answered in a period: requests may name any version that is loaded.
_MOST_VERSIONS = 6
# Of a card.
_SHOWN_RECORDS = 30
_PICTURES = 3


class MonitorContext:
    """The log of a model's records, and what a new one continues."""

    # Not a dataclass, as `ModelContext`.

    def __init__(
        self, log: MonitorLog, records: Sequence[MonitorRecord], sequence: int, champion: str | None
    ) -> None:
        """`records` are the newest first; `sequence` is that of the next one."""
        self.log, self.records, self.sequence = log, tuple(records), sequence
        self.champion = champion

    @property
    def previous(self) -> MonitorRecord | None:
        return self.records[0] if self.records else None

    @property
    def continued(self) -> MonitorRecord | None:
        """The record before, where it is of the same champion: its detectors continue."""
        previous = self.previous
        return previous if previous is not None and previous.champion == self.champion else None


@step
def open_log(context: ModelContext) -> MonitorContext:
    """Read the log, and name the records that are damaged."""
    log = MonitorLog(context.bucket, context.model)
    recent = log.recent(_REMEMBERED)
    for problem in recent.damaged:
        get_run_logger().warning("%s", problem)
    champion = context.registry.champion_version()
    return MonitorContext(log, recent.records, log.last_sequence() + 1, champion)


def unfinished(monitored: MonitorContext) -> MonitorRecord | None:
    """The newest record, where its consequence was decided and not carried out.

    Of a champion that was replaced meanwhile, nothing is left to carry out.
    """
    previous = monitored.previous
    if previous is None or previous.consequence.action not in {"retrain", "roll back"}:
        return None
    if previous.champion != monitored.champion and previous.consequence.action == "retrain":
        return None
    return None if monitored.log.carried_out(previous.sequence) is not None else previous


@step
def collect(context: ModelContext) -> None:
    """Commit what the hosts shipped to the tables, exactly once."""
    address = connections.address(context.settings)
    collected = collect_segments(
        context.bucket,
        context.model,
        PredictionTable.on_s3(address, context.model),
        LabelTable.on_s3(address, context.model),
        keep_days=_keep_days(context),
    )
    log = get_run_logger()
    log.info("%s answers, %s labels collected", collected.answers, collected.labels)
    for problem in collected.problems:
        log.warning("%s", problem)


@step
def expire(context: ModelContext) -> None:
    """Delete rows that are older than the model keeps them, with their files."""
    address = connections.address(context.settings)
    for table in (PredictionTable, LabelTable):
        deleted = table.on_s3(address, context.model).expire(_keep_days(context))
        if deleted:
            get_run_logger().info("%s expired rows of %s deleted", deleted, table.__name__)


def _keep_days(context: ModelContext) -> int:
    """As the model declares; of one that records nothing any more, what it recorded goes too."""
    return (context.definition.watching.log or PredictionLog()).keep_days


@step
def observe(context: ModelContext, monitored: MonitorContext) -> ObservedPeriod:
    """Read and join what was collected since the record before."""
    address = connections.address(context.settings)
    feedback = context.definition.watching.feedback
    previous = monitored.previous
    return observe_period(
        PredictionTable.on_s3(address, context.model),
        LabelTable.on_s3(address, context.model),
        since=previous.until if previous else None,
        until=datetime.now(UTC),
        closed=previous.closed if previous else None,
        window_days=feedback.window_days if feedback else _WINDOW_DAYS,
    )


@step
def measure(context: ModelContext, monitored: MonitorContext, period: ObservedPeriod) -> Measured:
    """Measure the versions that answered."""
    answered = set(period.joined.answers["version"].unique().to_pylist())
    if monitored.champion is not None:
        answered.add(monitored.champion)
    versions, problems = {}, []
    for name in sorted(answered, reverse=True)[:_MOST_VERSIONS]:
        try:
            versions[name] = _served(context, name, with_reference=name == monitored.champion)
        except (UnknownVersion, CorruptVersion) as error:
            # One damaged version must not end the watch over the others.
            problems.append(str(error))
    champion = versions.pop(monitored.champion or "", None)
    manifest = champion.manifest if champion else None
    definition = (context.adopting(manifest) if manifest else context).definition
    before = monitored.continued.detectors if monitored.continued else ()
    measured = measuring.measure(
        definition,
        champion,
        tuple(versions.values()),
        period,
        {s.name: s for s in before},
        _arrived(context, period),
    )
    for problem in (*problems, *measured.problems):
        get_run_logger().warning("%s", problem)
    return replace(measured, problems=(*problems, *measured.problems))


def _arrived(context: ModelContext, period: ObservedPeriod) -> dict[date, pa.Table]:
    """What training got on the days of the period, where requests are of one population with it.

    Not of arrivals that a person excluded, or has yet to decide about.
    """
    if not (context.definition.watching.same_population and period.days):
        return {}
    pending = open_reviews(context.registry, context.rows.arrival_versions)
    return arrived(
        context.rows,
        period.days.keys(),
        without={*context.reviews.excluded(), *(review.arrival for review in pending)},
        declared=context.declared,
    )


def _served(context: ModelContext, version: str, *, with_reference: bool) -> ServedVersion:
    manifest = context.registry.trusted(version).manifest
    reference = reference_in(context.registry, manifest) if with_reference else None
    return ServedVersion(manifest, reference)


@step
def record(
    context: ModelContext,
    monitored: MonitorContext,
    period: ObservedPeriod,
    measured: Measured,
    compared: Compared,
) -> MonitorRecord:
    """Decide what follows, and write the record.

    Raises:
        AlreadyExists: another run wrote this record first.
    """
    now, previous = datetime.now(UTC), monitored.previous
    consequence = decide(
        context.model,
        measured.alarms,
        Circumstances(
            watching=context.definition.watching,
            approval=_approval(context, monitored.champion),
            nothing_new=nothing_new(context, monitored.champion, period) if measured.alarms else "",
            requested_at=last_request(monitored.records),
            worse=compared.worse,
            decided=decided_pairs(monitored.records),
            now=now,
        ),
    )
    written = MonitorRecord(
        model=context.model,
        sequence=monitored.sequence,
        champion=monitored.champion,
        since=period.since,
        until=period.until,
        quality=measured.quality,
        distances=measured.distances,
        detectors=(*measured.detectors, *compared.states),
        alarms=measured.alarms,
        consequence=consequence,
        labels=dict(period.joined.counts),
        closed=max(period.days, default=previous.closed if previous else None),
        run=str(flow_run.id or ""),
        at=now,
    )
    return monitored.log.append(written)


@step
def compare_versions(
    context: ModelContext, monitored: MonitorContext, period: ObservedPeriod
) -> Compared:
    """Compare the champion with the version that served before it, where that can serve again."""
    champion = monitored.champion
    if champion is None:
        return Compared()
    try:
        earlier = predecessor(context.registry.champion, champion)
        context.registry.tombstones.check_not_collected(earlier)
        newer = _served(context, champion, with_reference=False)
        older = _served(context, earlier, with_reference=False)
    except (ConfigurationError, PromotionConflict):
        # Nothing served before, or another version has become champion meanwhile.
        return Compared()
    except (CorruptVersion, UnknownVersion) as error:
        get_run_logger().warning("not compared with the version before: %s", error)
        return Compared()
    definition = context.adopting(newer.manifest).definition
    if any(why_incomparable(definition.tensors, each.tensors) for each in (newer, older)):
        return Compared()
    before = monitored.continued.detectors if monitored.continued else ()
    compared = compare(definition, newer, older, period, before)
    if compared.worse is not None:
        get_run_logger().warning("%s", compared.worse.evidence)
    return compared


def _approval(context: ModelContext, champion: str | None) -> Literal["automatic", "manual"]:
    """Who decides: a person also where only the version was made so."""
    if context.definition.approval == "manual" or champion is None:
        return context.definition.approval
    return context.registry.manifest(champion).approval


def nothing_new(context: ModelContext, champion: str | None, period: ObservedPeriod) -> str:
    """Why a retraining could learn nothing new; empty where it can."""
    if champion is None or not context.rows.has_rows():
        return ""
    manifest = context.registry.manifest(champion)
    excluded = set(context.reviews.excluded())
    newer = [
        name
        for name, version in context.rows.arrival_versions().items()
        if version > manifest.data.dataset_version and name not in excluded
    ]
    if newer or _learnable(context, manifest, period) or _may_arrive(context):
        return ""
    return (
        f"nothing arrived since {champion} was trained, and no label that can be learned: land "
        f"rows (`overnight ingest {context.model} FILES`), or retrain anyway "
        f"(`overnight retrain {context.model} --force`)"
    )


def _may_arrive(context: ModelContext) -> bool:
    """Whether something waits in the landing, or the source has a next arrival."""
    try:
        return bool(next_arrivals(context))
    except (SourceUnavailable, UnusableSource) as error:
        get_run_logger().warning("%s", error)
        return False


def _learnable(context: ModelContext, champion: Manifest, period: ObservedPeriod) -> bool:
    """Whether labels came since the champion was made that become rows of the dataset."""
    watching = context.definition.watching
    policy = watching.log.inputs if watching.log else "none"
    if watching.feedback is None or watching.feedback.rows is None or policy != "values":
        return False
    if not period.labelled.num_rows:
        return False
    return bool(pc.max(period.labelled["labelled_at"]).as_py() > champion.created_at)


@step
def card_section(
    context: ModelContext,
    monitored: MonitorContext,
    record: MonitorRecord,
    measured: Measured,
    period: ObservedPeriod,
) -> MonitorSection:
    """What the card of the run shows."""
    names = {quality.version for quality in record.quality}
    return MonitorSection(
        record=record,
        earlier=monitored.records[:_SHOWN_RECORDS],
        manifests=tuple(context.registry.readable_manifests(names).values()),
        pictures=_pictures(context, monitored, record, period),
        problems=measured.problems,
    )


def _pictures(
    context: ModelContext, monitored: MonitorContext, record: MonitorRecord, period: ObservedPeriod
) -> tuple[str, ...]:
    """The features that are furthest, on the newest day that has ended."""
    if monitored.champion is None or not (period.days and record.distances):
        return ()
    version = _served(context, monitored.champion, with_reference=True)
    if version.reference is None:
        return ()
    # Late: a plotting library, which most steps do not need.
    from overnight.tasks.reporting.feature_pictures import feature_pictures

    definition = context.adopting(version.manifest).definition
    # Pictures are of the reference, and skew is apart from something else.
    drifts = [each for each in record.distances if each.against == "training"]
    furthest = sorted(drifts, key=lambda each: (-(each.e or 0), -each.distance))
    day = measuring.day_arrays(version, period.days[max(period.days)])
    return feature_pictures(definition, version.reference, *day, furthest[:_PICTURES])


@step
def request_retraining(context: ModelContext, monitored: MonitorContext, of: MonitorRecord) -> str:
    """Send the event on which an automation retrains, and note it.

    The event has the id of the record: one that is sent again, because a run died before its note,
    is the same event.
    """
    reason = of.consequence.reason
    sent = emit_event(
        event=ALARM_EVENT,
        resource={
            "prefect.resource.id": model_resource(context.model),
            "prefect.resource.name": context.model,
        },
        payload={"model": context.model, "record": of.sequence, "reason": reason},
        id=UUID(of.id),
    )
    if sent is None:
        # Without the note, the next run requests it again.
        return f"a retraining could not be requested, because Prefect takes no events: {reason}"
    # Events are sent by a thread; one that a dying process still holds would be noted and lost.
    EventsWorker.instance().wait_until_empty()
    monitored.log.note_carried_out(of.sequence, CarriedOut(run=_run(), message="retraining"))
    return f"a retraining was requested: {reason}"


@step
def roll_back(context: ModelContext, monitored: MonitorContext, of: MonitorRecord) -> AliasRecord:
    """Roll the champion back to the version before it, with the evidence as the reason.

    Raises:
        PromotionConflict: another version became champion meanwhile.
    """
    consequence = of.consequence
    actor = Actor(MONITOR, consequence.reason)
    try:
        done = Promotions(context.registry).roll_back(
            expected=of.champion, to=consequence.version, actor=actor
        )
    except (PromotionConflict, ConfigurationError, CorruptVersion) as error:
        # Final, or every later run would try it again instead of watching.
        monitored.log.note_carried_out(of.sequence, CarriedOut(run=_run(), message=str(error)))
        raise
    monitored.log.note_carried_out(of.sequence, CarriedOut(run=_run(), message="rolled back"))
    return done


def _run() -> str:
    return str(flow_run.id or "")
