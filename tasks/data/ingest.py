"""Ingests landed arrivals into the dataset, each exactly once."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Source
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Contents, Landing
from overnight.store.errors import AlreadyExists, BadFile, BadLines
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.admission import (
    ARRIVAL_COLUMNS,
    Ingested,
    check_admission,
    ingest_outcome,
    refuse,
)
from overnight.tasks.data.ingest_streaming import ingest_pieces
from overnight.tasks.data.learned_arrivals import open_reviews
from overnight.tasks.data.outlier_days import days_of, outlier_days

HOLDOUT = "holdout"
UNDECLARED = DataGates()


def ingest(
    source: Source,
    bucket: Bucket,
    rows: Dataset,
    holdout: Dataset,
    *,
    model: str,
    take_next: bool,
    gates: DataGates = UNDECLARED,
) -> Ingested:
    """Ingest every pending arrival; with `take_next` and none pending, the source's next one.

    Files that cannot be read are quarantined, and so are all files of an arrival whose rows are
    not as `gates` declare. Known rows are dropped and rows of the holdout kept out; the others are
    added in one commit for each arrival. An ingest may be killed at any point and run again.
    """
    _keep_holdout(source, holdout)
    landing = Landing(bucket, model)
    arrivals = landing.pending()
    # Read after the listing: an arrival committed in between counts as ingested.
    ingested = rows.arrival_names()
    if not arrivals and take_next:
        arrivals = _land_next(source, landing, ingested)
    outcomes = []
    for arrival in arrivals:
        if arrival.name in ingested:
            outcomes.append(Ingested(skipped=(arrival.name,)))
        elif outcome := _ingest_arrival(source, landing, rows, holdout, arrival, gates):
            outcomes.append(outcome)
        # After the commit: a killed ingest finds the arrival again and skips it.
        landing.clear(arrival)
    return _sum(outcomes, rows.version())


def _keep_holdout(source: Source, holdout: Dataset) -> None:
    """Write the holdout unless it is there; it never changes."""
    if HOLDOUT in holdout.arrival_names():
        return
    try:
        holdout.append(source.holdout(), HOLDOUT)
    except AlreadyExists:
        # A concurrent ingest wrote it.
        return


def _land_next(source: Source, landing: Landing, ingested: Collection[str]) -> list[Arrival]:
    delivery = source.deliver(ingested)
    if delivery is None:
        return []
    # Landed first and ingested like any other, so that a killed run finds it again.
    now = datetime.now(UTC)
    return [landing.land(delivery.name, delivery.files, by="the source", at=now)]


def _ingest_arrival(
    source: Source,
    landing: Landing,
    rows: Dataset,
    holdout: Dataset,
    arrival: Arrival,
    gates: DataGates,
) -> Ingested | None:
    """Add one arrival to the dataset; None if a concurrent ingest did so."""
    reusable = _reusable_arrivals(landing, rows)
    if arrival.converted is not None:
        return ingest_pieces(landing, rows, holdout, arrival, gates, reusable=reusable)
    contents = landing.read(arrival)
    if contents.damaged and arrival.name in rows.arrival_names():
        # A concurrent ingest has committed the arrival and is clearing its files.
        return None
    reading = source.read(contents.files)
    excluded = ArrivalReviews(landing.bucket, landing.model).excluded()
    failures = check_admission(reading.rows, gates, arrival.name) or outlier_days(
        days_of(reading.rows, gates), rows, gates, arrival.name, excluded=excluded
    )
    bad_files = [
        bad
        for bad in (*contents.damaged, *reading.rejected)
        # Of a refused arrival every file is kept whole, and not its bad lines alone.
        if bad.file in arrival.files and not (failures and isinstance(bad, BadLines))
    ]
    quarantined = tuple(
        landing.quarantine(arrival, bad.file, _kept(bad, contents), str(bad)) for bad in bad_files
    )
    if failures:
        return refuse(
            landing,
            rows,
            arrival,
            contents.files.get,
            contents.files,
            failures=failures,
            quarantined=quarantined,
        )
    positions, kept_out = _new_positions(
        reading.rows, known=_known_digests(rows, reusable), held_out=holdout.digests()
    )
    try:
        rows.append(_with_arrival(reading.rows, positions, arrival), arrival.name)
    except AlreadyExists:
        return None
    return ingest_outcome(
        arrival.name,
        arrived=reading.rows.num_rows,
        added=len(positions),
        kept_out=kept_out,
        quarantined=quarantined,
    )


def _kept(bad: BadFile, contents: Contents) -> bytes | None:
    """What is kept of a file in quarantine: all of it, or its bad lines when the others are in."""
    return bad.text if isinstance(bad, BadLines) else contents.files.get(bad.file)


def _reusable_arrivals(landing: Landing, rows: Dataset) -> set[str]:
    """The arrivals that are excluded or may become so: their rows may arrive again elsewhere.

    If such an arrival is accepted later, a snapshot uses its row and not the later one.
    """
    pending = open_reviews(ModelRegistry(landing.bucket, landing.model), rows.arrival_versions)
    excluded = ArrivalReviews(landing.bucket, landing.model).excluded()
    return {*excluded, *(review.arrival for review in pending)}


def _known_digests(rows: Dataset, without: Collection[str]) -> set[str]:
    """The digests of all rows but those of the arrivals `without`, which may arrive again."""
    if not without:
        return rows.digests()
    table = rows.read(columns=["digest", "arrival"])
    is_reusable = pc.is_in(table.column("arrival"), pa.array(sorted(without), pa.string()))
    return set(table.filter(pc.invert(is_reusable)).column("digest").to_pylist())


def _new_positions(
    rows: pa.Table, *, known: Collection[str], held_out: Collection[str]
) -> tuple[list[int], int]:
    """The positions of the new rows, of equal ones the first; and the count of holdout rows."""
    positions: dict[str, int] = {}
    kept_out = 0
    for position, digest in enumerate(rows.column("digest").to_pylist()):
        if digest in held_out:
            kept_out += 1
        elif digest not in known:
            positions.setdefault(digest, position)
    return list(positions.values()), kept_out


def _with_arrival(rows: pa.Table, positions: list[int], arrival: Arrival) -> pa.Table:
    """The rows at some positions with their arrival, its time, and the position."""
    n = len(positions)
    stamps = (
        pa.array([arrival.name] * n, pa.string()),
        pa.array([arrival.delivered_at] * n, pa.timestamp("us", "UTC")),
        pa.array(positions, pa.int64()),
    )
    rows = rows.take(stamps[-1])
    for name, stamp in zip(ARRIVAL_COLUMNS, stamps, strict=True):
        rows = rows.append_column(name, stamp)
    return rows


def _sum(outcomes: Sequence[Ingested], version: int | None) -> Ingested:
    return Ingested(
        arrivals=tuple(name for outcome in outcomes for name in outcome.arrivals),
        rows_added=sum(outcome.rows_added for outcome in outcomes),
        duplicates=sum(outcome.duplicates for outcome in outcomes),
        kept_out=sum(outcome.kept_out for outcome in outcomes),
        quarantined=tuple(file for outcome in outcomes for file in outcome.quarantined),
        dataset_version=version,
        findings=tuple(finding for outcome in outcomes for finding in outcome.findings),
        skipped=tuple(name for outcome in outcomes for name in outcome.skipped),
    )
