"""The steps before training, as Prefect runs them: what comes in, and whether to learn from it."""

from datetime import UTC, datetime

from prefect.logging import get_run_logger

import tasks.ingest
import tasks.snapshot
import tasks.validate
from flows.house import House
from flows.steps import Plan, step
from store import arrivals
from store.errors import UnknownArrival
from store.versions import read_file, read_manifest
from tasks.compare import Compared, Learned, compare, learned_by
from tasks.judge import Verdict
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
    house = House.of(model)
    without = arrivals.excluded(house.bucket, model)
    return tasks.snapshot.snapshot(house.rows, house.holdout, without=without)


@step
def validate(plan: Plan) -> tuple[Verdict, Compared]:
    """Hold the rows against the model's declaration, and what is new against what was learned.

    Rows that are not as declared are compared with nothing.
    """
    house = House.of(plan.model)
    rows = tasks.snapshot.read_stamped(house.rows, plan.snapshot)
    holdout = tasks.snapshot.read_holdout(house.holdout)
    valid = Verdict(
        tasks.validate.validate(
            rows, plan.snapshot, house.definition, holdout=holdout, now=datetime.now(UTC)
        )
    )
    if not valid.passed:
        return valid, Compared(())
    compared = compare(
        rows,
        holdout,
        house.definition,
        learned=_learned(house, plan.champion),
        decisions=arrivals.decisions(house.bucket, plan.model),
    )
    for finding in compared.findings:
        if not finding.passed:
            get_run_logger().warning("%s: %s", finding.slice, finding.message)
    return valid, compared


@step
def hold(plan: Plan, compared: Compared) -> None:
    """Keep what was found of each arrival that waits for a person."""
    for arrival in compared.held:
        arrivals.hold(
            House.of(plan.model).bucket,
            plan.model,
            arrival,
            compared.against(arrival),
            compared_with=plan.champion,
        )


@step
def decide(
    model: str, arrival: str, *, verdict: arrivals.Verdict, by: str, reason: str
) -> arrivals.ArrivalDecision:
    """Keep a person's word about an arrival of the dataset."""
    house = House.of(model)
    taken = house.rows.taken()
    if arrival not in taken:
        held = tuple(one.arrival for one in waiting(house.bucket, model, house.rows.arrivals))
        raise UnknownArrival(model, arrival, held)
    return arrivals.decide(house.bucket, model, arrival, verdict=verdict, by=by, reason=reason)


def _learned(house: House, champion: str | None) -> Learned | None:
    """The champion, and the arrivals that it learned from."""
    if champion is None:
        return None
    manifest = read_manifest(house.bucket, house.model, champion)
    predictor = read_file(house.bucket, manifest, "predictor.tflite")
    taken = house.rows.taken(manifest.data.dataset_version)
    known = known_arrivals(house.bucket, house.model, house.rows.arrivals)
    return learned_by(manifest, predictor, taken, house.definition, known=known)
