"""Ingests an arrival that was converted to pieces, with one piece in memory at a time.

The first pass verifies each piece, copies it to the local disk, checks its columns and collects the
digests of its rows. The second pass writes the new rows in one commit.
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
from overnight.store.registry.manifest import Finding
from overnight.tasks.data.admission import (
    STAMPS,
    Ingested,
    check_columns_of,
    check_repeats,
    commit_empty,
    ingest_outcome,
    refuse,
)
from overnight.tasks.data.deduplicate import Deduplicator, DedupResult, pack_digests
from overnight.tasks.data.outlier_days import Days, days_of, outlier_days

# A quarter of a piece, which bounds the memory of its decoded columns.
_BATCH_ROWS = 32_768


@dataclass
class _Scan:
    """The result of the first pass: intact pieces, their rows, and what is wrong."""

    pieces: list[Path] = field(default_factory=list)
    rows: int = 0
    schema: pa.Schema | None = None
    bad_files: list[BadFile] = field(default_factory=list)
    failures: tuple[Finding, ...] = ()
    days: list[Days] = field(default_factory=list)


def ingest_pieces(
    landing: Landing,
    rows: Dataset,
    holdout: Dataset,
    arrival: Arrival,
    gates: DataGates,
    *,
    reusable: Collection[str],
) -> Ingested | None:
    """Add a converted arrival to the dataset; None if a concurrent ingest did so.

    Rows of the arrivals in `reusable` may arrive again.
    """
    with tempfile.TemporaryDirectory(prefix="overnight-ingest-") as folder:
        deduplicator = Deduplicator(Path(folder))
        scan = _scan(landing, arrival, gates, Path(folder), deduplicator)
        if scan.bad_files and arrival.name in rows.arrival_names():
            # A concurrent ingest has committed the arrival and is clearing its files.
            return None
        _add_known(rows, deduplicator, reusable)
        deduplicated = deduplicator.deduplicate(_holdout_digests(holdout))
        failures = (
            scan.failures
            or check_repeats(deduplicated.repeated, scan.rows, gates, arrival.name)
            or outlier_days(
                np.concatenate([np.empty(0, np.int64), *scan.days]),
                rows,
                gates,
                arrival.name,
                excluded=ArrivalReviews(landing.bucket, landing.model).excluded(),
            )
        )
        quarantined = _quarantine(landing, arrival, scan.bad_files)
        if failures:
            return refuse(
                landing,
                rows,
                arrival,
                lambda file: landing.read_file(arrival, file),
                _converted(arrival).pieces,
                failures=failures,
                quarantined=quarantined,
            )
        # Inside the context: the new rows are read from the local copies of the pieces.
        if not _commit(rows, arrival, scan, deduplicated):
            return None
    return ingest_outcome(
        arrival.name,
        arrived=scan.rows,
        added=int(deduplicated.is_new.sum()),
        kept_out=deduplicated.kept_out,
        quarantined=quarantined,
    )


def _scan(
    landing: Landing, arrival: Arrival, gates: DataGates, folder: Path, deduplicator: Deduplicator
) -> _Scan:
    """Read every piece in order; the failures of the first wrong one stand for all."""
    scan = _Scan()
    for number, file in enumerate(_converted(arrival).pieces):
        body = landing.read_file(arrival, file)
        if body is None:
            sha256 = arrival.files[file].sha256
            expected = f"sha256 {sha256} as delivered"
            scan.bad_files.append(BadFile(file, expected=expected, found="other bytes"))
            continue
        path = folder / f"piece-{number:06d}.parquet"
        # Kept locally, so that the second pass downloads nothing.
        path.write_bytes(body)
        scan.pieces.append(path)
        for rows in _rows(path):
            scan.rows += rows.num_rows
            scan.schema = rows.schema
            scan.failures = scan.failures or check_columns_of(rows, gates, arrival.name)
            if not scan.failures:
                scan.days.append(days_of(rows, gates))
            deduplicator.add(pack_digests(rows.column("digest")))
    return scan


def _add_known(rows: Dataset, deduplicator: Deduplicator, reusable: Collection[str]) -> None:
    """Add the digests of the dataset, without those of reusable arrivals."""
    reusable_arrivals = pa.array(sorted(reusable), pa.string())
    for batch in rows.batches(["digest", "arrival"]):
        known = batch
        if reusable:
            known = batch.filter(pc.invert(pc.is_in(batch.column("arrival"), reusable_arrivals)))
        deduplicator.add_known(pack_digests(known.column("digest")))


def _holdout_digests(holdout: Dataset) -> NDArray[np.bytes_]:
    return pack_digests(pa.array(sorted(holdout.digests()), pa.string()))


def _commit(rows: Dataset, arrival: Arrival, scan: _Scan, deduplicated: DedupResult) -> bool:
    """Commit the new rows; False if the arrival was committed before."""
    # Every piece was damaged, so the columns are unknown.
    if scan.schema is None:
        return commit_empty(rows, arrival)
    schema = pa.schema([*scan.schema.remove_metadata(), *STAMPS])
    try:
        rows.append_batches(schema, _new_rows(scan, deduplicated, arrival, schema), arrival.name)
    except AlreadyExists:
        return False
    return True


def _new_rows(
    scan: _Scan, deduplicated: DedupResult, arrival: Arrival, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The new rows with their arrival, its time, and their position in it."""
    start = 0
    for path in scan.pieces:
        for rows in _rows(path):
            positions = np.flatnonzero(deduplicated.is_new[start : start + rows.num_rows])
            new = rows if len(positions) == rows.num_rows else rows.take(pa.array(positions))
            n = new.num_rows
            stamps = [
                pa.repeat(pa.scalar(arrival.name, pa.string()), n),
                pa.repeat(pa.scalar(arrival.delivered_at, pa.timestamp("us", "UTC")), n),
                pa.array(positions + start, pa.int64()),
            ]
            start += rows.num_rows
            table = pa.Table.from_arrays([*new.columns, *stamps], schema=schema)
            yield from table.combine_chunks().to_batches()


def _rows(piece: Path) -> Iterator[pa.Table]:
    """The rows of a piece in batches."""
    with pq.ParquetFile(piece) as file:
        for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
            yield pa.Table.from_batches([batch])


def _quarantine(
    landing: Landing, arrival: Arrival, bad_files: list[BadFile]
) -> tuple[Quarantined, ...]:
    """Quarantine the rejected lines, and record the damaged pieces."""
    quarantined = [landing.quarantine(arrival, file.file, None, str(file)) for file in bad_files]
    converted = _converted(arrival)
    if converted.rejected_file:
        body = landing.read_file(arrival, converted.rejected_file)
        quarantined.append(
            landing.quarantine(arrival, converted.rejected_file, body, _rejection_reason(converted))
        )
    return tuple(quarantined)


def _rejection_reason(converted: Converted) -> str:
    examples = "; ".join(converted.rejected)
    more = converted.rejected_lines - len(converted.rejected)
    return (
        f"{converted.file}: {converted.rejected_lines:,} of its lines are invalid: {examples}"
        + (f"; and {more:,} more" if more else "")
    )


def _converted(arrival: Arrival) -> Converted:
    assert arrival.converted is not None
    return arrival.converted
