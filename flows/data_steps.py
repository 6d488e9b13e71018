"""The steps before training, as Prefect runs them: what comes in, and whether to learn from it."""

from dataclasses import replace
from datetime import UTC, datetime

from prefect.logging import get_run_logger

import tasks.ingest
import tasks.snapshot
import tasks.validate
from flows.errors import UnknownArrival
from flows.hearing import Word
from flows.house import House
from flows.loading import loaded
from flows.steps import Plan, step
from store import arrivals
from store.arrivals import ArrivalReviews
from store.registry.actor import Actor
from tasks.compare import Compared, Learned, compare, learned_by
from tasks.judge import Verdict
from tasks.leakage import unseen
from tasks.learned import known_arrivals, waiting
from tasks.snapshot import Snapshot


@step
def ingest(model: str, *, take_next: bool) -> tasks.ingest.Ingested:
    """Take in whatever waits, and the source's next arrival when nothing does."""
    house = House.of(model)
    ingested = tasks.ingest.ingest(
        house.source,
        house.bucket,
        house.rows,
        house.holdout,
        model=model,
        take_next=take_next,
        gates=house.definition.data_gates,
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
def leave(model: str) -> tasks.ingest.Ingested:
    """Take nothing in: the dataset as it is, and whatever waits goes on waiting."""
    return tasks.ingest.Ingested(dataset_version=House.of(model).rows.version())


@step
def snapshot(model: str) -> Snapshot:
    """Fix the exact rows this run is about: all but those that a person left out."""
    return House.of(model).snapshot()


@step
def validate(plan: Plan) -> tuple[Verdict, Compared]:
    """Hold the rows against the model's declaration, and what is new against what was learned.

    Rows that are not as declared are compared with nothing.
    """
    house = House.of(plan.model)
    everything = tasks.snapshot.read_stamped(house.rows, plan.snapshot)
    rows, holdout = tasks.snapshot.parted(everything, plan.snapshot)
    if house.definition.moving is None:
        holdout = tasks.snapshot.read_holdout(house.holdout, plan.snapshot)
    valid = Verdict(
        tasks.validate.validate(
            rows, plan.snapshot, house.definition, holdout=holdout, now=datetime.now(UTC)
        )
    )
    if not valid.passed:
        return valid, Compared(())
    learned = _learned(house, plan.champion)
    compared = compare(
        everything,
        holdout,
        house.definition,
        learned=learned,
        decisions=ArrivalReviews(house.bucket, plan.model).decisions(),
    )
    if plan.snapshot.judged_from is not None and plan.champion is not None:
        theirs = loaded(house, plan.champion).manifest.data.judged_from
        seen = unseen(plan.champion, theirs, plan.snapshot.judged_from)
        compared = replace(compared, findings=(*compared.findings, seen))
    for finding in compared.findings:
        if not finding.passed:
            get_run_logger().warning("%s: %s", finding.slice, finding.message)
    return valid, compared


@step
def hold(plan: Plan, compared: Compared) -> None:
    """Keep what was found of each arrival that waits for a person."""
    for arrival in compared.held:
        ArrivalReviews(House.of(plan.model).bucket, plan.model).hold(
            arrival, compared.against(arrival), compared_with=plan.champion
        )


@step
def decide(
    model: str, arrival: str, *, verdict: arrivals.Verdict, word: Word, reason: str
) -> arrivals.ArrivalDecision:
    """Keep a person's word about an arrival of the dataset."""
    house = House.of(model)
    taken = house.rows.taken()
    if arrival not in taken:
        held = tuple(one.arrival for one in waiting(house.bucket, model, house.rows.arrivals))
        raise UnknownArrival(model, arrival, held)
    return ArrivalReviews(house.bucket, model).decide(
        arrival, verdict, Actor(word.by, reason, authenticated=word.proved)
    )


def _learned(house: House, champion: str | None) -> Learned | None:
    """The champion, and the arrivals that it learned from."""
    if champion is None:
        return None
    made = loaded(house, champion)
    taken = house.rows.taken(made.manifest.data.dataset_version)
    known = known_arrivals(house.bucket, house.model, house.rows.arrivals)
    return learned_by(made.manifest, made.predictor, taken, house.definition, known=known)
