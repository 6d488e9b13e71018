"""Reads the delivered files of an arrival into one local Arrow file, and reports what is wrong.

The files are untrusted: a few bytes can stand for any number of rows, and a library may fail on
them in any way. So this runs in a process of its own with limits (`reader_process`), and whatever
is raised refuses the arrival, by name and reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Source, StreamedDelivery
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.local_folder import NotAtRest
from overnight.store.datasets.landing import Converted
from overnight.store.errors import BadFile, BadLines, ConfigurationError, StoreError
from overnight.store.registry.manifest import Finding
from overnight.store.values import Value
from overnight.tasks.data.admission import check_columns_of
from overnight.tasks.data.declared_columns import ExpectedColumns, left_out
from overnight.tasks.data.deduplicate import pack_digests
from overnight.tasks.data.land import write_pieces

# Bounds the memory of everything that handles rows batch by batch.
BATCH_ROWS = 32_768
# One budget for an arrival: its rows may take this many bytes, and this many times its files.
_UNPACKED_BYTES = 4_000_000_000
_UNPACKED_TIMES = 50
_LONGEST_REASON = 500
# Of this installation or the network, and not of the files: the run ends, and they stay pending.
_NOT_OF_THE_FILES = (ImportError, SourceUnavailable, UnusableSource, StoreError)


class ReadRequest(Value):
    """The local copies of an arrival's files by their own names, and where its rows go.

    `converted`: the files are Parquet pieces with the columns of the source, in order. Only the
    `expected` columns are chosen.
    """

    arrival: str
    files: dict[str, Path]
    rows_file: Path
    converted: bool = False
    expected: ExpectedColumns = ExpectedColumns()


class Rejected(Value):
    """A file that was rejected, and why; `lines_file` has its bad lines if the others are read."""

    file: str
    reason: str
    lines_file: Path | None = None


class ReadOutcome(Value):
    """Rejected files, and the findings that refuse the arrival; the rows are in the file.

    `left_out` are the columns that were not chosen.
    """

    rows: int = 0
    rejected: tuple[Rejected, ...] = ()
    failures: tuple[Finding, ...] = ()
    left_out: tuple[str, ...] = ()


class DeliverRequest(Value):
    """A streamed arrival to read: what was delivered before, and the folder for its pieces."""

    delivered: tuple[str, ...]
    folder: Path


class DeliverOutcome(Value):
    """The arrival that was read, whose pieces are in the folder of the request."""

    name: str
    converted: Converted


class ArrivalReader(Protocol):
    """Reads arrivals."""

    def deliver(self, delivery: StreamedDelivery, request: DeliverRequest) -> DeliverOutcome:
        """Write the rows of the source's next arrival, which is streamed, as pieces.

        Raises:
            SourceUnavailable, UnusableSource: nothing can be landed.
        """

    def read(self, request: ReadRequest) -> ReadOutcome:
        """Write the rows of an arrival into the file that the request names."""


@dataclass(frozen=True)
class ReadHere:
    """Reads arrivals in this process, without limits."""

    source: Source
    gates: DataGates

    def read(self, request: ReadRequest) -> ReadOutcome:
        """Write the rows of an arrival; whatever its files make the source raise refuses it."""
        try:
            if request.converted:
                return _read_pieces(request, self.gates)
            return _read_files(request, self.source, self.gates)
        except _NOT_OF_THE_FILES:
            raise
        except MemoryError:
            return unreadable(request.arrival, "reading them takes more memory than allowed")
        except Exception as error:  # noqa: BLE001 - the files must not stop the other arrivals
            return unreadable(request.arrival, f"{type(error).__name__}: {error}")

    def deliver(self, delivery: StreamedDelivery, request: DeliverRequest) -> DeliverOutcome:
        """Write the pieces of an arrival; whatever its rows make the source raise refuses it."""
        try:
            return DeliverOutcome(
                name=delivery.name, converted=write_pieces(delivery, request.folder)
            )
        except NotAtRest as error:
            raise SourceUnavailable(delivery.what, [error.found], "run again") from None
        except (*_NOT_OF_THE_FILES, ConfigurationError):
            raise
        except MemoryError:
            return undeliverable(delivery, "reading it takes more memory than allowed")
        except BadFile as error:
            return undeliverable(delivery, f"expected {error.expected}, found {error.found}")
        except Exception as error:  # noqa: BLE001 - a file must not stop those that follow
            return undeliverable(delivery, f"{type(error).__name__}: {error}")


def undeliverable(delivery: StreamedDelivery, why: str) -> DeliverOutcome:
    """The outcome for a streamed arrival that breaks its reader, if it is one file of several.

    Raises:
        UnusableSource: it is not, and what is skipped now would be lost.
    """
    why = " ".join(why.split())[:_LONGEST_REASON]
    if not delivery.is_file:
        raise UnusableSource(
            delivery.what,
            expected="rows as declared",
            found=why,
            remedy="correct the source, or its declaration in the model",
        )
    converted = Converted(file=delivery.what, sha256="", rows=0, pieces=(), refused=why)
    return DeliverOutcome(name=delivery.name, converted=converted)


def unreadable(arrival: str, why: str) -> ReadOutcome:
    """The outcome for an arrival whose files break their reader."""
    message = f"its files cannot be read: {' '.join(why.split())[:_LONGEST_REASON]}"
    finding = Finding(gate="readable", metric="files", slice=arrival, passed=False, message=message)
    return ReadOutcome(failures=(finding,))


def row_batches(rows_file: Path) -> Iterator[pa.Table]:
    """The rows that were read, some at a time, from the file's pages."""
    if not rows_file.exists():
        return
    with pa.memory_map(str(rows_file)) as pages:
        for batch in pa.ipc.open_stream(pages):
            yield pa.Table.from_batches([batch])


def rows_schema(rows_file: Path) -> pa.Schema:
    """The columns of the rows that were read."""
    with pa.memory_map(str(rows_file)) as pages:
        return pa.ipc.open_stream(pages).schema


def _read_files(request: ReadRequest, source: Source, gates: DataGates) -> ReadOutcome:
    reading = source.read({name: path.read_bytes() for name, path in request.files.items()})
    rows = reading.rows
    _check_declared(rows)
    ignored = left_out(rows.schema, request.expected.chosen)
    rows = rows.drop_columns(list(ignored))
    _write(request, rows.schema, iter(rows.to_batches(max_chunksize=BATCH_ROWS)))
    return ReadOutcome(
        rows=rows.num_rows,
        rejected=tuple(
            _rejected(request, number, bad) for number, bad in enumerate(reading.rejected)
        ),
        failures=check_columns_of(rows, gates, request.arrival, not_yet=request.expected.not_yet),
        left_out=ignored,
    )


def _rejected(request: ReadRequest, number: int, bad: BadFile) -> Rejected:
    if not isinstance(bad, BadLines):
        return Rejected(file=bad.file, reason=str(bad))
    lines_file = request.rows_file.with_name(f"{request.rows_file.name}-rejected-{number}")
    lines_file.write_bytes(bad.text)
    return Rejected(file=bad.file, reason=str(bad), lines_file=lines_file)


def _read_pieces(request: ReadRequest, gates: DataGates) -> ReadOutcome:
    """Copy the rows of all pieces; the failures of the first wrong batch stand for all."""
    failures: tuple[Finding, ...] = ()
    count = 0
    ignored: tuple[str, ...] = ()

    def checked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal failures, count
        for batch in batches:
            rows = pa.Table.from_batches([batch])
            _check_declared(rows)
            chosen = batch.select([name for name in batch.schema.names if name not in ignored])
            failures = failures or check_columns_of(
                pa.Table.from_batches([chosen]),
                gates,
                request.arrival,
                not_yet=request.expected.not_yet,
            )
            count += batch.num_rows
            yield chosen

    for first in request.files.values():
        schema = pq.read_schema(first).remove_metadata()
        ignored = left_out(schema, request.expected.chosen)
        own = pa.schema([field for field in schema if field.name not in ignored])
        _write(request, own, checked(_piece_batches(request.files)))
        break
    return ReadOutcome(rows=count, failures=failures, left_out=ignored)


def _piece_batches(pieces: Mapping[str, Path]) -> Iterator[pa.RecordBatch]:
    for path in pieces.values():
        with pq.ParquetFile(path) as piece:
            yield from piece.iter_batches(BATCH_ROWS, use_threads=False)


def _check_declared(rows: pa.Table) -> None:
    """Raise unless the rows fit into a table at all: their columns, gaps and digests."""
    for name in rows.column_names:
        if rows.column_names.count(name) > 1:
            raise ValueError(f"the column {name} is there twice")
    for field in rows.schema:
        if not field.nullable and (missing := rows.column(field.name).null_count):
            raise ValueError(f"{missing:,} values of {field.name} are missing, and none may be")
    pack_digests(rows.column("digest"))


def _write(request: ReadRequest, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    delivered = sum(path.stat().st_size for path in request.files.values())
    left = _UNPACKED_BYTES + _UNPACKED_TIMES * delivered
    with pa.ipc.new_stream(str(request.rows_file), schema.remove_metadata()) as out:
        for batch in batches:
            left -= batch.nbytes
            if left < 0:
                raise ValueError("the rows are far larger than their files")
            out.write_batch(batch.replace_schema_metadata(None))
