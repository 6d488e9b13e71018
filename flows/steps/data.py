"""The steps before training, as Prefect runs them: what comes in, and whether to learn from it."""

from dataclasses import replace
from datetime import UTC, datetime

from prefect.logging import get_run_logger

import overnight.tasks.data.ingest
import overnight.tasks.data.snapshot
import overnight.tasks.data.validate
from overnight.flows.errors import UnknownArrival
from overnight.flows.run.context import ModelContext
from overnight.flows.run.plan import TrainingPlan
from overnight.flows.steps.step import step
from overnight.store.datasets import arrival_reviews
from overnight.store.registry.actor import Actor
from overnight.tasks.data.leakage import check_unseen
from overnight.tasks.data.learned_arrivals import known_arrivals, open_reviews
from overnight.tasks.evaluation.data_drift import (
    DriftReference,
    DriftReport,
    compare,
    drift_reference,
)
from overnight.tasks.evaluation.judge import Verdict


@step
def ingest(context: ModelContext, *, take_next: bool) -> overnight.tasks.data.ingest.Ingested:
    """Take in whatever waits, and the source's next arrival when nothing does."""
    ingested = overnight.tasks.data.ingest.ingest(
        context.source,
        context.bucket,
        context.rows,
        context.holdout,
        model=context.model,
        take_next=take_next,
        gates=context.definition.data_gates,
    )
    get_run_logger().info("%s rows added from %s", ingested.rows_added, ingested.arrivals)
    for bad in ingested.quarantined:
        get_run_logger().warning("quarantined: %s", bad.reason)
    for name in ingested.skipped:
        get_run_logger().warning("%s was taken in or refused before under this name", name)
    for finding in ingested.findings:
        get_run_logger().warning("%s: %s", finding.slice, finding.message)
    return ingested


@step
def leave(context: ModelContext) -> overnight.tasks.data.ingest.Ingested:
    """Take nothing in: the dataset as it is, and whatever waits goes on waiting."""
    return overnight.tasks.data.ingest.Ingested(dataset_version=context.rows.version())


@step
def validate(plan: TrainingPlan) -> tuple[Verdict, DriftReport]:
    """Hold the rows against the model's declaration, and what is new against what was learned.

    Rows that are not as declared are compared with nothing.
    """
    context = plan.context
    everything = overnight.tasks.data.snapshot.read_stamped(context.rows, plan.snapshot)
    rows, holdout = overnight.tasks.data.snapshot.parted(everything, plan.snapshot)
    if context.definition.moving is None:
        holdout = overnight.tasks.data.snapshot.read_holdout(context.holdout, plan.snapshot)
    valid = Verdict(
        overnight.tasks.data.validate.validate(
            rows, plan.snapshot, context.definition, holdout=holdout, now=datetime.now(UTC)
        )
    )
    if not valid.passed:
        return valid, DriftReport(())
    learned = _learned(context, plan.champion)
    compared = compare(
        everything,
        holdout,
        context.definition,
        learned=learned,
        decisions=context.reviews.decisions(),
    )
    if plan.snapshot.judged_from is not None and plan.champion is not None:
        theirs = context.loaded(plan.champion).manifest.data.judged_from
        seen = check_unseen(plan.champion, theirs, plan.snapshot.judged_from)
        compared = replace(compared, findings=(*compared.findings, seen))
    for finding in compared.findings:
        if not finding.passed:
            get_run_logger().warning("%s: %s", finding.slice, finding.message)
    return valid, compared


@step
def hold(plan: TrainingPlan, compared: DriftReport) -> None:
    """Keep what was found of each arrival that waits for a person."""
    for arrival in compared.pending:
        plan.context.reviews.hold(
            arrival, compared.failures_of(arrival), compared_with=plan.champion
        )


@step
def decide(
    context: ModelContext, arrival: str, verdict: arrival_reviews.Verdict, actor: Actor
) -> arrival_reviews.ArrivalReview:
    """Keep a person's decision about an arrival of the dataset."""
    taken = context.rows.taken()
    if arrival not in taken:
        held = tuple(one.arrival for one in open_reviews(context.registry, context.rows.arrivals))
        raise UnknownArrival(context.model, arrival, held)
    return context.reviews.decide(arrival, verdict, actor)


def _learned(context: ModelContext, champion: str | None) -> DriftReference | None:
    """The champion, and the arrivals that it learned from."""
    if champion is None:
        return None
    made = context.loaded(champion)
    taken = context.rows.taken(made.manifest.data.dataset_version)
    known = known_arrivals(context.registry, context.rows.arrivals)
    return drift_reference(made.manifest, made.predictor, taken, context.definition, known=known)
