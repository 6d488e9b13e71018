"""Ingests landed arrivals into the dataset, each exactly once."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Source
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Contents, Landing, Quarantined
from overnight.store.errors import AlreadyExists, BadFile
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import Finding
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.admission import (
    ARRIVAL_COLUMNS,
    Ingested,
    check_admission,
    ingest_outcome,
)
from overnight.tasks.data.ingest_streaming import ingest_pieces
from overnight.tasks.data.learned_arrivals import open_reviews
from overnight.tasks.data.outlier_days import days_of, outlier_days

__all__ = ["ARRIVAL_COLUMNS", "HOLDOUT", "UNDECLARED", "Ingested", "ingest"]

HOLDOUT = "holdout"
UNDECLARED = DataGates()


@dataclass(frozen=True)
class _Deduplicated:
    """The positions of the new rows of an arrival, and counts of the others by kind."""

    rows: pa.Table
    positions: tuple[int, ...]
    duplicates: int
    kept_out: int


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
    arrivals = Landing(bucket, model).pending()
    ingested = rows.arrival_names()
    if not arrivals and take_next:
        arrivals = _land_next(source, bucket, model, ingested)
    outcomes = []
    for arrival in arrivals:
        if arrival.name in ingested:
            outcomes.append(Ingested(skipped=(arrival.name,)))
        elif outcome := _ingest_arrival(source, bucket, rows, holdout, arrival, gates):
            outcomes.append(outcome)
        # After the commit: a killed ingest finds the arrival again and skips it.
        Landing(bucket, arrival.model).clear(arrival)
    return _sum(outcomes, rows.version())


def _keep_holdout(source: Source, holdout: Dataset) -> None:
    """Write the holdout unless it is there; it never changes."""
    if HOLDOUT in holdout.arrival_names():
        return
    try:
        holdout.append(source.holdout(), HOLDOUT)
    except AlreadyExists:
        return


def _land_next(
    source: Source, bucket: Bucket, model: str, ingested: Collection[str]
) -> list[Arrival]:
    delivery = source.deliver(ingested)
    if delivery is None:
        return []
    now = datetime.now(UTC)
    return [Landing(bucket, model).land(delivery.name, delivery.files, by="the source", at=now)]


def _ingest_arrival(
    source: Source,
    bucket: Bucket,
    rows: Dataset,
    holdout: Dataset,
    arrival: Arrival,
    gates: DataGates,
) -> Ingested | None:
    """Add one arrival to the dataset; None if a concurrent ingest did so."""
    if arrival.converted is not None:
        reusable = _reusable_arrivals(bucket, rows, arrival.model)
        return ingest_pieces(bucket, rows, holdout, arrival, gates, reusable=reusable)
    contents = Landing(bucket, arrival.model).read(arrival)
    if contents.damaged and arrival.name in rows.arrival_names():
        # A concurrent ingest has committed the arrival and is clearing its files.
        return None
    reading = source.read(contents.files)
    quarantined = _quarantine(bucket, arrival, contents, (*contents.damaged, *reading.rejected))
    excluded = ArrivalReviews(bucket, arrival.model).excluded()
    refused = check_admission(reading.rows, gates, arrival.name) or outlier_days(
        days_of(reading.rows, gates), rows, gates, arrival.name, excluded=excluded
    )
    if refused:
        return _refuse(bucket, rows, arrival, contents, quarantined, refused)
    known = _known_digests(rows, _reusable_arrivals(bucket, rows, arrival.model))
    deduplicated = _deduplicate(reading.rows, known=known, held_out=holdout.digests())
    try:
        rows.append(_with_arrival(deduplicated, arrival), arrival.name)
    except AlreadyExists:
        return None
    return ingest_outcome(
        arrival.name,
        reading.rows.num_rows,
        len(deduplicated.positions),
        duplicates=deduplicated.duplicates,
        kept_out=deduplicated.kept_out,
        quarantined=quarantined,
    )


def _quarantine(
    bucket: Bucket, arrival: Arrival, contents: Contents, bad_files: Iterable[BadFile]
) -> tuple[Quarantined, ...]:
    """Quarantine files that cannot be used, each with its reason."""
    return tuple(
        Landing(bucket, arrival.model).quarantine(
            arrival, file.file, contents.files.get(file.file), str(file)
        )
        for file in bad_files
        if file.file in arrival.files
    )


def _refuse(
    bucket: Bucket,
    rows: Dataset,
    arrival: Arrival,
    contents: Contents,
    quarantined: tuple[Quarantined, ...],
    failures: tuple[Finding, ...],
) -> Ingested | None:
    """Quarantine every file of an arrival, and commit the arrival without rows.

    Without a table nothing is committed, and the arrival may be delivered again.
    """
    already_quarantined = {file.file for file in quarantined}
    reasons = "; ".join(finding.message for finding in failures)
    quarantined += tuple(
        Landing(bucket, arrival.model).quarantine(
            arrival, file, body, f"{file}: {arrival.name} is refused: {reasons}"
        )
        for file, body in contents.files.items()
        if file not in already_quarantined
    )
    if rows.version() is not None:
        try:
            rows.append(rows.schema().empty_table(), arrival.name)
        except AlreadyExists:
            return None
    return Ingested(arrivals=(arrival.name,), quarantined=quarantined, findings=failures)


def _reusable_arrivals(bucket: Bucket, rows: Dataset, model: str) -> set[str]:
    """The arrivals that are excluded or may become so: their rows may arrive again elsewhere.

    If such an arrival is accepted later, a snapshot uses its row and not the later one.
    """
    pending = open_reviews(ModelRegistry(bucket, model), rows.arrival_versions)
    return {*ArrivalReviews(bucket, model).excluded(), *(review.arrival for review in pending)}


def _known_digests(rows: Dataset, without: Collection[str]) -> set[str]:
    """The digests of all rows but those of the arrivals `without`, which may arrive again."""
    if not without:
        return rows.digests()
    table = rows.read(columns=["digest", "arrival"])
    left_out = pc.is_in(table.column("arrival"), pa.array(sorted(without), pa.string()))
    return set(table.filter(pc.invert(left_out)).column("digest").to_pylist())


def _deduplicate(
    rows: pa.Table, *, known: Collection[str], held_out: Collection[str]
) -> _Deduplicated:
    """The new rows; of equal ones the first."""
    positions: dict[str, int] = {}
    duplicates = kept_out = 0
    for row, digest in enumerate(rows.column("digest").to_pylist()):
        if digest in held_out:
            kept_out += 1
        elif digest in known or digest in positions:
            duplicates += 1
        else:
            positions[digest] = row
    return _Deduplicated(rows, tuple(positions.values()), duplicates, kept_out)


def _with_arrival(deduplicated: _Deduplicated, arrival: Arrival) -> pa.Table:
    """The new rows with their arrival, its time, and their position in it."""
    n = len(deduplicated.positions)
    stamps = (
        pa.array([arrival.name] * n, pa.string()),
        pa.array([arrival.delivered_at] * n, pa.timestamp("us", "UTC")),
        pa.array(deduplicated.positions, pa.int64()),
    )
    rows = deduplicated.rows.take(stamps[-1])
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
