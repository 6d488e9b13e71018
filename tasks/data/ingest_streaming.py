"""Take in an arrival that was converted to pieces, with memory for one piece at a time.

The first time through, each piece is held against its digest and kept on this machine's disk, its
columns are looked at, and the digests of its rows go through the sieve. The second time, the rows
that are new are written: one commit, as for every arrival.
"""

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from overnight.models.data_gates.declaration import DataGates
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Converted, Landing, Quarantined
from overnight.store.errors import AlreadyExists, BadFile
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import Finding
from overnight.tasks.data.admission import (
    STAMPS,
    Ingested,
    columns_against,
    repeats_against,
    taken_in,
)
from overnight.tasks.data.deduplicate import Deduplicator, DedupResult, packed
from overnight.tasks.data.outlier_days import Days, days_of, outlier_days

_ROWS_AT_ONCE = 32_768


@dataclass
class _Seen:
    """What the first time through found: pieces that are whole, and what stands against them."""

    pieces: list[Path] = field(default_factory=list)
    rows: int = 0
    schema: pa.Schema | None = None
    bad: list[BadFile] = field(default_factory=list)
    against: tuple[Finding, ...] = ()
    days: list[Days] = field(default_factory=list)


def ingest_pieces(
    bucket: Bucket,
    rows: Dataset,
    holdout: Dataset,
    arrival: Arrival,
    gates: DataGates,
    *,
    unsettled: Collection[str],
) -> Ingested | None:
    """Add a converted arrival to the dataset; None when somebody else did so meanwhile.

    Rows of the arrivals `unsettled` may come again.
    """
    with tempfile.TemporaryDirectory(prefix="overnight-ingest-") as place:
        sieve = Deduplicator(Path(place))
        seen = _look(bucket, arrival, gates, Path(place), sieve)
        if seen.bad and arrival.name in rows.arrival_names():
            # Whoever took it in is clearing it away under our hands.
            return None
        _know(rows, sieve, unsettled)
        sifted = sieve.sift(_held_out(holdout))
        against = (
            seen.against
            or repeats_against(sifted.repeated, seen.rows, gates, arrival.name)
            or outlier_days(
                np.concatenate([np.empty(0, np.int64), *seen.days]),
                rows,
                gates,
                arrival.name,
                left_out=ArrivalReviews(bucket, arrival.model).excluded(),
            )
        )
        quarantined = _quarantine(bucket, arrival, seen.bad)
        if against:
            quarantined += _keep_apart(bucket, arrival, against, {one.file for one in quarantined})
        if not _committed(rows, arrival, seen, sifted, refused=bool(against)):
            return None
    if against:
        return Ingested(arrivals=(arrival.name,), quarantined=quarantined, findings=against)
    return taken_in(
        arrival.name,
        seen.rows,
        int(sifted.fresh.sum()),
        duplicates=sifted.duplicates,
        kept_out=sifted.kept_out,
        quarantined=quarantined,
    )


def _look(
    bucket: Bucket, arrival: Arrival, gates: DataGates, place: Path, sieve: Deduplicator
) -> _Seen:
    """Every piece in its order; what stands against the first that is wrong stands for all."""
    seen = _Seen()
    for number, file in enumerate(_converted(arrival).pieces):
        body = Landing(bucket, arrival.model).read_file(arrival, file)
        if body is None:
            sha256 = arrival.files[file].sha256
            expected = f"sha256 {sha256} as delivered"
            seen.bad.append(BadFile(file, expected=expected, found="other bytes"))
            continue
        path = place / f"piece-{number:06d}.parquet"
        path.write_bytes(body)
        seen.pieces.append(path)
        for rows in _rows(path):
            seen.rows += rows.num_rows
            seen.schema = rows.schema
            seen.against = seen.against or columns_against(rows, gates, arrival.name)
            if not seen.against:
                seen.days.append(days_of(rows, gates))
            sieve.add(packed(rows.column("digest")))
    return seen


def _know(rows: Dataset, sieve: Deduplicator, unsettled: Collection[str]) -> None:
    """Tell the sieve of every row of the dataset that may be learned."""
    left_out = pa.array(sorted(unsettled), pa.string())
    for batch in rows.batches(["digest", "arrival"]):
        known = batch
        if unsettled:
            known = batch.filter(pc.invert(pc.is_in(batch.column("arrival"), left_out)))
        sieve.know(packed(known.column("digest")))


def _held_out(holdout: Dataset) -> NDArray[np.bytes_]:
    return packed(pa.array(sorted(holdout.digests()), pa.string()))


def _committed(
    rows: Dataset, arrival: Arrival, seen: _Seen, sifted: DedupResult, *, refused: bool
) -> bool:
    """Whether it was we who brought the arrival's rows, or remembered it as one without rows.

    Before the first arrival there is no table to remember it in: it may be landed again.
    """
    try:
        if refused or seen.schema is None:
            if rows.version() is not None:
                rows.append(rows.schema().empty_table(), arrival.name)
            return True
        schema = pa.schema([*seen.schema.remove_metadata(), *STAMPS])
        rows.append_batches(schema, _fresh(seen, sifted, arrival, schema), arrival.name)
    except AlreadyExists:
        return False
    return True


def _fresh(
    seen: _Seen, sifted: DedupResult, arrival: Arrival, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows that are new, each with its arrival, the moment of it, and its place in it."""
    start = 0
    for path in seen.pieces:
        for rows in _rows(path):
            places = np.flatnonzero(sifted.fresh[start : start + rows.num_rows])
            chosen = rows if len(places) == rows.num_rows else rows.take(pa.array(places))
            n = chosen.num_rows
            stamps = [
                pa.repeat(pa.scalar(arrival.name, pa.string()), n),
                pa.repeat(pa.scalar(arrival.delivered_at, pa.timestamp("us", "UTC")), n),
                pa.array(places + start, pa.int64()),
            ]
            start += rows.num_rows
            table = pa.Table.from_arrays([*chosen.columns, *stamps], schema=schema)
            yield from table.combine_chunks().to_batches()


def _rows(piece: Path) -> Iterator[pa.Table]:
    """The rows of a piece, some at a time."""
    with pq.ParquetFile(piece) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
            yield pa.Table.from_batches([batch])


def _quarantine(bucket: Bucket, arrival: Arrival, bad: list[BadFile]) -> tuple[Quarantined, ...]:
    """Keep the lines that would not do, and name the pieces that are lost."""
    kept = [
        Landing(bucket, arrival.model).quarantine(arrival, one.file, None, str(one)) for one in bad
    ]
    converted = _converted(arrival)
    if converted.rejected_file:
        body = Landing(bucket, arrival.model).read_file(arrival, converted.rejected_file)
        kept.append(
            Landing(bucket, arrival.model).quarantine(
                arrival, converted.rejected_file, body, _rejected(converted)
            )
        )
    return tuple(kept)


def _keep_apart(
    bucket: Bucket, arrival: Arrival, against: tuple[Finding, ...], named: Collection[str]
) -> tuple[Quarantined, ...]:
    """Keep every piece of an arrival that is refused, one after another."""
    why = "; ".join(finding.message for finding in against)
    return tuple(
        Landing(bucket, arrival.model).quarantine(
            arrival,
            file,
            Landing(bucket, arrival.model).read_file(arrival, file),
            f"{file}: {arrival.name} is refused: {why}",
        )
        for file in _converted(arrival).pieces
        if file not in named
    )


def _rejected(converted: Converted) -> str:
    told = "; ".join(converted.rejected)
    more = converted.rejected_lines - len(converted.rejected)
    return f"{converted.file}: {converted.rejected_lines:,} of its lines would not do: {told}" + (
        f"; and {more:,} more" if more else ""
    )


def _converted(arrival: Arrival) -> Converted:
    assert arrival.converted is not None
    return arrival.converted
