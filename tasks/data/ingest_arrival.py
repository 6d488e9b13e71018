"""Ingests one arrival, with a bounded number of its rows in memory.

Its files are verified and copied to the local disk, a reader turns them into rows there, and the
digests of the rows are compared with those of the dataset. The new rows are added in one commit.
"""

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.declaration import DataGates
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Converted, Landing, Quarantined
from overnight.store.errors import AlreadyExists, BadFile, IncompatibleColumns
from overnight.store.registry.manifest import Finding
from overnight.tasks.data.admission import (
    Ingested,
    check_repeats,
    commit_empty,
    ingest_outcome,
    refuse,
)
from overnight.tasks.data.categories import Categories, UnknownCategories
from overnight.tasks.data.changed_files import delivered
from overnight.tasks.data.declared_columns import DeclaredColumns, column_notices
from overnight.tasks.data.deduplicate import Deduplicator, DedupResult, Digests, pack_digests
from overnight.tasks.data.outlier_days import days_of, outlier_days
from overnight.tasks.data.read_arrival import (
    ArrivalReader,
    ReadOutcome,
    ReadRequest,
    row_batches,
    rows_schema,
)
from overnight.tasks.data.stamps import STAMPS

# A folder of pictures is thousands of small files; large ones are copied one at a time.
_AT_ONCE = 8
_SMALL_BYTES = 16_000_000


@dataclass(frozen=True)
class _Reading:
    """An arrival, the local copies of its intact files, and what was read from them."""

    arrival: Arrival
    files: Mapping[str, Path]
    damaged: tuple[BadFile, ...]
    outcome: ReadOutcome

    def body(self, file: str) -> bytes | None:
        """A file as it was delivered, or None if its bytes are lost."""
        return self.files[file].read_bytes() if file in self.files else None


SET_ASIDE = (
    "its rows are kept and set aside, the others are learned; they are in no snapshot until the "
    "vocabulary has it. Add it there, declare `otherwise`, or have the vocabulary learned"
)
TAKEN_ALONG = "counted as one of the others until a version has learned it"


@dataclass(frozen=True)
class ArrivalIngest:
    """What all arrivals of one ingest share; rows of `reusable` arrivals may arrive again."""

    landing: Landing
    rows: Dataset
    holdout: Dataset
    reader: ArrivalReader
    gates: DataGates
    reusable: Collection[str]
    excluded: Collection[str]
    known: Categories
    open: Categories
    declared: DeclaredColumns

    def ingest(self, arrival: Arrival) -> Ingested | None:
        """Add an arrival to the dataset; None if a concurrent ingest did so."""
        if arrival.converted is not None and arrival.converted.refused:
            return self._refuse_unconverted(arrival, arrival.converted)
        with tempfile.TemporaryDirectory(prefix="overnight-ingest-") as name:
            folder = Path(name)
            files, damaged = self._copy(arrival, folder)
            if damaged and arrival.name in self.rows.arrival_names():
                # A concurrent ingest has committed the arrival and is clearing its files.
                return None
            request = ReadRequest(
                arrival=arrival.name,
                files=_readable(arrival, files),
                rows_file=folder / "rows.arrow",
                converted=arrival.converted is not None,
                expected=self.declared.expected(self.rows),
            )
            outcome = self.reader.read(request)
            reading = _Reading(arrival, files, damaged, outcome)
            if outcome.failures:
                return self._refuse_read(reading, outcome.failures)
            return self._add(reading, request.rows_file, folder)

    def _refuse_unconverted(self, arrival: Arrival, converted: Converted) -> Ingested | None:
        """Refuse a file that could not be converted, and stays where it is."""
        finding = Finding(
            gate="readable",
            metric="files",
            slice=arrival.name,
            passed=False,
            message=f"{converted.file}: {converted.refused}",
        )
        return self.refuse(arrival, (finding,), lambda file: self.landing.read_file(arrival, file))

    def refuse(
        self,
        arrival: Arrival,
        failures: tuple[Finding, ...],
        read: Callable[[str], bytes | None],
        quarantined: tuple[Quarantined, ...] = (),
    ) -> Ingested | None:
        """Quarantine every file of an arrival; None if a concurrent ingest committed it."""
        return refuse(
            self.landing,
            self.rows,
            arrival,
            read,
            _data_files(arrival),
            failures=failures,
            quarantined=quarantined,
        )

    def _copy(self, arrival: Arrival, folder: Path) -> tuple[dict[str, Path], tuple[BadFile, ...]]:
        """The intact files of an arrival by name, copied to the disk, and the damaged ones."""

        def copied(number: int, file: str) -> Path | None:
            body = self.landing.read_file(arrival, file)
            if body is None:
                return None
            path = folder / f"file-{number:06d}"
            path.write_bytes(body)
            return path

        largest = max((file.size_bytes for file in arrival.files.values()), default=0)
        with ThreadPoolExecutor(_AT_ONCE if largest < _SMALL_BYTES else 1) as pool:
            paths = list(pool.map(copied, range(len(arrival.files)), arrival.files))
        files = dict(zip(arrival.files, paths, strict=True))
        damaged = tuple(
            BadFile(
                file,
                expected=f"sha256 {arrival.files[file].sha256} as delivered",
                found="other bytes",
            )
            for file, path in files.items()
            if path is None
        )
        return {file: path for file, path in files.items() if path is not None}, damaged

    def _refuse_read(self, reading: _Reading, failures: tuple[Finding, ...]) -> Ingested | None:
        quarantined = self._quarantine(reading, refused=True)
        return self.refuse(reading.arrival, failures, reading.body, quarantined)

    def _quarantine(self, reading: _Reading, *, refused: bool) -> tuple[Quarantined, ...]:
        """Quarantine the damaged and rejected files, and the rejected lines of others."""
        arrival = reading.arrival
        quarantined = [
            self.landing.quarantine(arrival, error.file, None, str(error))
            for error in reading.damaged
        ]
        for bad in reading.outcome.rejected:
            # Of a refused arrival every file is kept whole, and not its bad lines alone.
            if bad.file not in arrival.files or (refused and bad.lines_file):
                continue
            body = bad.lines_file.read_bytes() if bad.lines_file else reading.body(bad.file)
            quarantined.append(self.landing.quarantine(arrival, bad.file, body, bad.reason))
        converted = arrival.converted
        if converted is not None and converted.rejected_file:
            file, reason = converted.rejected_file, _rejection_reason(converted)
            quarantined.append(self.landing.quarantine(arrival, file, reading.body(file), reason))
        return tuple(quarantined)

    def _add(self, reading: _Reading, rows_file: Path, folder: Path) -> Ingested | None:
        """Commit the new rows, unless there are too many repeats or a day far from all others."""
        arrival = reading.arrival
        deduplicator = Deduplicator(folder)
        days = [np.empty(0, np.int64)]
        unknown, new = UnknownCategories(self.known), UnknownCategories(self.open)
        for batch in row_batches(rows_file):
            deduplicator.add(pack_digests(batch.column("digest")))
            days.append(days_of(batch, self.gates))
            unknown.add(batch)
            new.add(batch)
        self._add_known(deduplicator)
        deduplicated = deduplicator.deduplicate(_digests(self.holdout))
        failures = check_repeats(deduplicated.repeats, self.gates, arrival.name) or outlier_days(
            np.concatenate(days), self.rows, self.gates, arrival.name, excluded=self.excluded
        )
        file = next(iter(arrival.files)) if len(arrival.files) == 1 else arrival.name
        unknown_findings = unknown.findings(arrival.name, file=file)
        if unknown.too_many:
            failures = failures or unknown_findings
        # Before the table makes room for them.
        notices = self._column_notices(reading, rows_file)
        failures = failures or self._make_room(arrival, rows_file)
        if failures:
            return self._refuse_read(reading, failures)
        quarantined = self._quarantine(reading, refused=False)
        if not self._commit(arrival, rows_file, deduplicated):
            return None
        outcome = ingest_outcome(
            arrival.name,
            arrived=deduplicated.repeats.n,
            added=int(deduplicated.is_new.sum()),
            kept_out=deduplicated.kept_out,
            quarantined=quarantined,
        )
        return replace(
            outcome,
            notices=(
                *notices,
                *unknown.notices(arrival.name, file=file, so=SET_ASIDE),
                *new.notices(arrival.name, file=file, so=TAKEN_ALONG),
            ),
        )

    def _column_notices(self, reading: _Reading, rows_file: Path) -> tuple[str, ...]:
        if not rows_file.exists():
            return ()
        return column_notices(
            reading.arrival.name,
            rows_schema(rows_file).names,
            left_out=reading.outcome.left_out,
            known=() if self.rows.version() is None else self.rows.schema().names,
            declared=self.declared,
        )

    def _make_room(self, arrival: Arrival, rows_file: Path) -> tuple[Finding, ...]:
        """Make room for the columns of an arrival; the finding on one that has none."""
        if not rows_file.exists():
            return ()
        schema = rows_schema(rows_file)
        try:
            if fitted := self.rows.fit(schema):
                for rows in row_batches(rows_file):
                    for batch in rows.to_batches():
                        fitted.cast(batch)
                self.rows.evolve(schema)
        except IncompatibleColumns as error:
            return (
                Finding(
                    gate="column type",
                    metric=error.column,
                    slice=arrival.name,
                    passed=False,
                    message=str(error),
                ),
            )
        return ()

    def _add_known(self, deduplicator: Deduplicator) -> None:
        """Add the digests of the dataset, without those of reusable arrivals."""
        reusable = pa.array(sorted(self.reusable), pa.string())
        for batch in self.rows.batches(["digest", "arrival"]):
            known = batch
            if len(reusable):
                known = batch.filter(pc.invert(pc.is_in(batch.column("arrival"), reusable)))
            deduplicator.add_known(pack_digests(known.column("digest")))

    def _commit(self, arrival: Arrival, rows_file: Path, deduplicated: DedupResult) -> bool:
        """Commit the new rows; False if the arrival was committed before."""
        # Every piece was damaged, so the columns are unknown.
        if not rows_file.exists():
            return commit_empty(self.rows, arrival)
        schema = pa.schema([*rows_schema(rows_file), *STAMPS])
        new_rows = _new_rows(rows_file, deduplicated, arrival, schema)
        try:
            self.rows.append_batches(schema, new_rows, arrival.name, delivered(arrival))
        except AlreadyExists:
            return False
        return True


def _new_rows(
    rows_file: Path, deduplicated: DedupResult, arrival: Arrival, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The new rows with their arrival, its time, and their position in it."""
    start = 0
    for rows in row_batches(rows_file):
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


def _digests(holdout: Dataset) -> Digests:
    packed = [pack_digests(batch.column("digest")) for batch in holdout.batches(["digest"])]
    return np.concatenate([np.empty(0, "S32"), *packed])


def _data_files(arrival: Arrival) -> tuple[str, ...]:
    """The files with rows: of a converted file its pieces, without the rejected lines."""
    if arrival.converted is None or arrival.converted.refused:
        return tuple(arrival.files)
    return arrival.converted.pieces


def _readable(arrival: Arrival, files: Mapping[str, Path]) -> dict[str, Path]:
    return {file: files[file] for file in _data_files(arrival) if file in files}


def _rejection_reason(converted: Converted) -> str:
    examples = "; ".join(converted.rejected)
    more = converted.rejected_lines - len(converted.rejected)
    return (
        f"{converted.file}: {converted.rejected_lines:,} of its lines are invalid: {examples}"
        + (f"; and {more:,} more" if more else "")
    )
