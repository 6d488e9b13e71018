"""Ingest: take in what has arrived, each arrival exactly once."""

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
from overnight.tasks.data.admission import ARRIVAL_COLUMNS, Ingested, check_admission, taken_in
from overnight.tasks.data.ingest_streaming import ingest_pieces
from overnight.tasks.data.learned_arrivals import open_reviews
from overnight.tasks.data.outlier_days import days_of, outlier_days

__all__ = ["ARRIVAL_COLUMNS", "HOLDOUT", "UNDECLARED", "Ingested", "ingest"]

HOLDOUT = "holdout"
UNDECLARED = DataGates()


@dataclass(frozen=True)
class _Sifted:
    """Which rows of an arrival are new, and how many of the others there were of what kind."""

    rows: pa.Table
    fresh: tuple[int, ...]
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
    """Take in every pending arrival; with `take_next` and none pending, the source's next one.

    Files that cannot be read are quarantined, and all files of an arrival whose rows are not as
    `gates` declare them. Rows that are known already are dropped, rows of the holdout are kept
    out; the rest is added in one commit an arrival, and the arrival cleared. Killed anywhere and
    run again, each row is there once.
    """
    _keep_holdout(source, holdout)
    arrivals = Landing(bucket, model).pending()
    taken = rows.arrival_names()
    if not arrivals and take_next:
        arrivals = _next(source, bucket, model, taken)
    outcomes = []
    for arrival in arrivals:
        if arrival.name in taken:
            outcomes.append(Ingested(skipped=(arrival.name,)))
        elif outcome := _take_in(source, bucket, rows, holdout, arrival, gates):
            outcomes.append(outcome)
        Landing(bucket, arrival.model).clear(arrival)
    return _summed(outcomes, rows.version())


def _keep_holdout(source: Source, holdout: Dataset) -> None:
    """Write the holdout, once for ever."""
    if HOLDOUT in holdout.arrival_names():
        return
    try:
        holdout.append(source.holdout(), HOLDOUT)
    except AlreadyExists:
        return


def _next(source: Source, bucket: Bucket, model: str, taken: Collection[str]) -> list[Arrival]:
    delivery = source.deliver(taken)
    if delivery is None:
        return []
    now = datetime.now(UTC)
    return [Landing(bucket, model).land(delivery.name, delivery.files, by="the source", at=now)]


def _take_in(
    source: Source,
    bucket: Bucket,
    rows: Dataset,
    holdout: Dataset,
    arrival: Arrival,
    gates: DataGates,
) -> Ingested | None:
    """Add one arrival to the dataset; None when somebody else did so meanwhile."""
    if arrival.converted is not None:
        unsettled = _unsettled(bucket, rows, arrival.model)
        return ingest_pieces(bucket, rows, holdout, arrival, gates, unsettled=unsettled)
    contents = Landing(bucket, arrival.model).read(arrival)
    if contents.damaged and arrival.name in rows.arrival_names():
        # Whoever took it in is clearing it away under our hands.
        return None
    reading = source.read(contents.files)
    quarantined = _quarantine(bucket, arrival, contents, (*contents.damaged, *reading.rejected))
    left_out = ArrivalReviews(bucket, arrival.model).excluded()
    refused = check_admission(reading.rows, gates, arrival.name) or outlier_days(
        days_of(reading.rows, gates), rows, gates, arrival.name, left_out=left_out
    )
    if refused:
        return _refuse(bucket, rows, arrival, contents, quarantined, refused)
    known = _known(rows, _unsettled(bucket, rows, arrival.model))
    sifted = _sift(reading.rows, known=known, held_out=holdout.digests())
    try:
        rows.append(_stamped(sifted, arrival), arrival.name)
    except AlreadyExists:
        return None
    return taken_in(
        arrival.name,
        reading.rows.num_rows,
        len(sifted.fresh),
        duplicates=sifted.duplicates,
        kept_out=sifted.kept_out,
        quarantined=quarantined,
    )


def _quarantine(
    bucket: Bucket, arrival: Arrival, contents: Contents, bad: Iterable[BadFile]
) -> tuple[Quarantined, ...]:
    """Keep the files that will not do, each with its reason."""
    return tuple(
        Landing(bucket, arrival.model).quarantine(
            arrival, one.file, contents.files.get(one.file), str(one)
        )
        for one in bad
        if one.file in arrival.files
    )


def _refuse(
    bucket: Bucket,
    rows: Dataset,
    arrival: Arrival,
    contents: Contents,
    quarantined: tuple[Quarantined, ...],
    refused: tuple[Finding, ...],
) -> Ingested | None:
    """Keep every file of an arrival apart, and remember the arrival as one without rows.

    Before the first arrival there is no table to remember it in: the source brings it again.
    """
    named = {one.file for one in quarantined}
    why = "; ".join(finding.message for finding in refused)
    quarantined += tuple(
        Landing(bucket, arrival.model).quarantine(
            arrival, file, body, f"{file}: {arrival.name} is refused: {why}"
        )
        for file, body in contents.files.items()
        if file not in named
    )
    if rows.version() is not None:
        try:
            rows.append(rows.schema().empty_table(), arrival.name)
        except AlreadyExists:
            return None
    return Ingested(arrivals=(arrival.name,), quarantined=quarantined, findings=refused)


def _unsettled(bucket: Bucket, rows: Dataset, model: str) -> set[str]:
    """The arrivals that are left out, or may be yet: nothing is dropped for being in them.

    Should one that waits be accepted, a snapshot has its row and not the one that came later.
    """
    held = open_reviews(ModelRegistry(bucket, model), rows.arrival_versions)
    return {*ArrivalReviews(bucket, model).excluded(), *(one.arrival for one in held)}


def _known(rows: Dataset, without: Collection[str]) -> set[str]:
    """The digests of all rows that may be learned; those of `without` may come again, put right."""
    if not without:
        return rows.digests()
    table = rows.read(columns=["digest", "arrival"])
    left_out = pc.is_in(table.column("arrival"), pa.array(sorted(without), pa.string()))
    return set(table.filter(pc.invert(left_out)).column("digest").to_pylist())


def _sift(rows: pa.Table, *, known: Collection[str], held_out: Collection[str]) -> _Sifted:
    """Which rows are new; of equal ones the first."""
    fresh: dict[str, int] = {}
    duplicates = kept_out = 0
    for row, digest in enumerate(rows.column("digest").to_pylist()):
        if digest in held_out:
            kept_out += 1
        elif digest in known or digest in fresh:
            duplicates += 1
        else:
            fresh[digest] = row
    return _Sifted(rows, tuple(fresh.values()), duplicates, kept_out)


def _stamped(sifted: _Sifted, arrival: Arrival) -> pa.Table:
    """The fresh rows, each with its arrival, the moment of it, and its place in it."""
    n = len(sifted.fresh)
    stamps = (
        pa.array([arrival.name] * n, pa.string()),
        pa.array([arrival.delivered_at] * n, pa.timestamp("us", "UTC")),
        pa.array(sifted.fresh, pa.int64()),
    )
    rows = sifted.rows.take(stamps[-1])
    for name, stamp in zip(ARRIVAL_COLUMNS, stamps, strict=True):
        rows = rows.append_column(name, stamp)
    return rows


def _summed(outcomes: Sequence[Ingested], version: int | None) -> Ingested:
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
