"""The steps before training: ingest, validation, and decisions about arrivals."""

from dataclasses import replace
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from overnight.flows.run.arrivals import check_arrival
from overnight.flows.run.context import ModelContext
from overnight.flows.run.plan import TrainingPlan
from overnight.flows.steps.step import step
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.store.datasets import arrival_reviews
from overnight.store.registry.actor import Actor
from overnight.store.schema import Schema
from overnight.tasks.data.admission import Ingested
from overnight.tasks.data.categories import categories, left_out_findings, open_categories
from overnight.tasks.data.holdout import check_holdout
from overnight.tasks.data.ingest import ingest as ingest_arrivals
from overnight.tasks.data.leakage import check_unseen
from overnight.tasks.data.learned_arrivals import known_arrivals
from overnight.tasks.data.snapshot import Snapshot, read_holdout, split_holdout
from overnight.tasks.data.validate import validate as validate_rows
from overnight.tasks.evaluation.data_drift import DriftReport, compare, drift_reference
from overnight.tasks.evaluation.judge import Verdict


@step
def ingest_next(context: ModelContext, *, take_next: bool) -> Ingested:
    """Ingest the arrivals in the landing; with `take_next` else the source's next one."""
    with context.reader() as reader:
        ingested = ingest_arrivals(
            context.source,
            context.bucket,
            context.rows,
            context.holdout,
            model=context.model,
            take_next=take_next,
            gates=context.definition.data_gates,
            reader=reader,
            known=categories(context.definition),
            open_categories=open_categories(context.definition, _learned(context)),
            declared=context.declared,
            check_holdout=lambda rows, file: check_holdout(rows, context.definition, file=file),
        )
    log = get_run_logger()
    came = ", ".join(ingested.arrivals) or "no arrival: nothing is new"
    log.info("%s rows added from %s", f"{ingested.rows_added:,}", came)
    for file in ingested.quarantined:
        log.warning("quarantined: %s", file.reason)
    for name in ingested.skipped:
        log.warning("%s was ingested or refused before under this name", name)
    for finding in ingested.findings:
        log.warning("%s: %s", finding.slice, finding.message)
    for notice in ingested.notices:
        log.warning("%s", notice)
    return ingested


def _learned(context: ModelContext) -> Schema | None:
    """What the champion has learned; None without a champion or anything that is learned."""
    champion = context.registry.champion_version() if context.definition.learned else None
    return context.registry.manifest(champion).tensors if champion else None


def ingest(context: ModelContext, *, take_next: bool) -> Ingested:
    """As `ingest_next`; without the source's next arrival where the source fails.

    A run without a source must not cost what else the run does: files that wait are ingested, and
    changed code is trained. `source_failure` of the outcome says what happened.

    Raises:
        SourceUnavailable, UnusableSource: the source has the holdout, which was never kept.
    """
    try:
        return ingest_next(context, take_next=take_next)
    except (SourceUnavailable, UnusableSource) as error:
        get_run_logger().warning("%s", error)
        return replace(ingest_next(context, take_next=False), source_failure=str(error))


@step
def current_dataset(context: ModelContext) -> Ingested:
    """The dataset as it is, without ingesting anything."""
    return Ingested(dataset_version=context.rows.version() if context.rows.has_rows() else None)


def learn(context: ModelContext, snapshot: Snapshot) -> ModelContext:
    """Learn vocabularies, pieces and statistics of the training rows, where the model has some.

    Raises:
        Unlearnable: there is nothing to learn from.
    """
    # Most models learn nothing here, and their runs need no step for it.
    return step(context.learning)(snapshot) if context.definition.learned else context


@step
def validate(plan: TrainingPlan) -> tuple[Verdict, DriftReport]:
    """Check the rows against the model's schema, and new arrivals against what was learned.

    Rows that violate the schema are not compared.
    """
    context = plan.context
    everything = context.stamped_rows(plan.snapshot)
    rows, holdout = split_holdout(everything, plan.snapshot)
    # A moving holdout is part of the rows; a frozen one is a table of its own.
    if context.definition.moving_holdout is None:
        holdout = read_holdout(context.holdout, plan.snapshot, declared=context.declared)
    findings = validate_rows(
        rows, plan.snapshot, context.definition, holdout=holdout, now=datetime.now(UTC)
    )
    findings += check_holdout(holdout, context.definition, frozen=True)
    findings += left_out_findings(
        context.rows, plan.snapshot.dataset_version, plan.snapshot.left_out
    )
    valid = Verdict(findings)
    if not valid.passed:
        return valid, DriftReport(())
    champion = context.load_predictor(plan.champion) if plan.champion else None
    learned = None
    if champion is not None:
        learned = drift_reference(
            champion.manifest,
            champion.predictor,
            context.rows.arrival_names(champion.manifest.data.dataset_version),
            context.definition,
            known=known_arrivals(context.registry, context.rows.arrival_versions),
        )
    compared = compare(
        everything,
        holdout,
        context.definition,
        reference=learned,
        decisions=context.reviews.decisions(),
    )
    if champion is not None and plan.snapshot.judged_from is not None:
        leakage = check_unseen(
            champion.manifest.version, champion.manifest.data.judged_from, plan.snapshot.judged_from
        )
        compared = replace(compared, findings=(*compared.findings, leakage))
    for finding in compared.findings:
        if not finding.passed:
            get_run_logger().warning("%s: %s", finding.slice, finding.message)
    return valid, compared


@step
def park_for_review(plan: TrainingPlan, compared: DriftReport) -> None:
    """Record the findings of each arrival that waits for a person's decision."""
    for arrival in compared.pending:
        plan.context.reviews.park(
            arrival, compared.failures_of(arrival), compared_with=plan.champion
        )


@step
def decide(
    context: ModelContext, arrival: str, verdict: arrival_reviews.Verdict, actor: Actor
) -> arrival_reviews.ArrivalReview:
    """Record a person's decision about an arrival of the dataset, or of the landing.

    Raises:
        UnknownArrival
    """
    check_arrival(context, arrival, excluded=verdict == "excluded")
    return context.reviews.decide(arrival, verdict, actor)
