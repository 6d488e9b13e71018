"""Reads rows of CSV, Parquet and Delta in batches, always in the same order and the same batches.

So work that was interrupted continues at a batch, and memory does not grow with the input.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq

from overnight.models.sources import csv_stream
from overnight.models.sources.csv_dialect import Csv
from overnight.models.sources.streaming import BadLine
from overnight.store.errors import BadFile, NotFound
from overnight.tasks.scoring.places import RowsPlace

_BUFFER_BYTES = 1 << 20
_EDGE_BYTES = 65_536


@dataclass(frozen=True)
class RawBatch:
    """Some rows as they came.

    Attributes:
        rows: those that could be parsed, and `numbers` their numbers in the input, from 1.
        broken: number and reason of those that could not.
        done: how much of `RowReader.total` is read.
    """

    rows: pa.RecordBatch
    numbers: range
    broken: tuple[tuple[int, str], ...] = ()
    done: int = 0

    @property
    def size(self) -> int:
        return int(self.rows.num_rows) + len(self.broken)


class RowReader(Protocol):
    """Rows of one input; `total` counts bytes or rows, whichever is known beforehand."""

    @property
    def columns(self) -> pa.Schema: ...

    @property
    def total(self) -> int: ...

    @property
    def identity(self) -> str:
        """What changes when the input does."""

    def batches(self, rows: int) -> Iterator[RawBatch]:
        """All rows in order, at most `rows` at a time."""


def open_rows(place: RowsPlace) -> RowReader:
    """The reader of an input.

    Raises:
        BadFile: there is none, or it is of another format.
        StoreUnavailable, StoreDenied, CorruptTable
    """
    if place.kind == "delta":
        return _DeltaRows(place)
    info = place.stat()
    if info is None or info.size is None:
        raise BadFile(place.text, expected="a file", found="nothing" if info is None else "no file")
    with place.errors(), place.filesystem().open_input_file(place.path) as file:
        edges = hashlib.sha256(file.read(_EDGE_BYTES))
        file.seek(max(0, info.size - _EDGE_BYTES))
        edges.update(file.read(_EDGE_BYTES))
    identity = f"{place.path} {info.size} {info.mtime_ns} {edges.hexdigest()}"
    if place.kind == "csv":
        return _CsvRows(place, info.size, identity)
    return _ParquetRows(place, identity)


@dataclass
class _CsvRows:
    """Cells are texts; only the number of values in a line is checked here."""

    place: RowsPlace
    total: int
    identity: str
    columns: pa.Schema = field(init=False)

    def __post_init__(self) -> None:
        with self._opened() as file:
            names = [name for name in csv_stream.header(self.place.text, file).names if name]
        self.columns = pa.schema([(name, pa.string()) for name in dict.fromkeys(names)])

    def batches(self, rows: int) -> Iterator[RawBatch]:
        broken: list[tuple[int, str]] = []
        number = 1

        def reject(line: BadLine) -> None:
            nonlocal number
            broken.append((number, f"line {line.number:,}: {line.why}"))
            number += 1

        with self._opened() as file:
            lines = csv_stream.read_lines(
                self.place.text,
                file,
                self.columns,
                reject,
                dialect=Csv(packed=("gzip", "bzip2", "zstd")),
            )
            for batch in lines:
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    bad, broken[:] = tuple(broken), []
                    numbers = range(number, number + part.num_rows)
                    number += part.num_rows
                    yield RawBatch(part, numbers, bad, min(file.tell(), self.total))
        if broken:
            yield RawBatch(_nothing(self.columns), range(0), tuple(broken), self.total)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with self.place.errors(), self.place.filesystem().open_input_file(self.place.path) as file:
            yield _Seekable(file)


class _Seekable:
    """An Arrow file with the methods of Python's, of which it has most."""

    def __init__(self, file: pa.NativeFile) -> None:
        import io

        self._file = io.BufferedReader(cast("Any", file), _BUFFER_BYTES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@dataclass
class _ParquetRows:
    place: RowsPlace
    identity: str
    columns: pa.Schema = field(init=False)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        with self._opened() as file:
            self.columns = file.schema_arrow.remove_metadata()
            self.total = int(file.metadata.num_rows)

    def batches(self, rows: int) -> Iterator[RawBatch]:
        with self._opened() as file:
            yield from _numbered(file.iter_batches(rows, use_threads=False))

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        try:
            # Without buffers ahead, which would be as large as whole row groups.
            with (
                self.place.filesystem().open_input_file(self.place.path) as file,
                pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES) as parquet,
            ):
                yield parquet
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and self.place.store is not None:
                with self.place.errors():
                    raise
            why = f"{error}"[:200]
            raise BadFile(self.place.text, expected="a whole Parquet file", found=why) from None


@dataclass
class _DeltaRows:
    """One version of a table: what is written to it meanwhile is not read."""

    place: RowsPlace
    columns: pa.Schema = field(init=False)
    total: int = field(init=False)
    identity: str = field(init=False)

    def __post_init__(self) -> None:
        try:
            table = self.place.table.open_existing()
        except NotFound:
            raise BadFile(self.place.text, expected="a Delta table", found="none") from None
        with self.place.table.translated_errors():
            dataset = table.to_pyarrow_dataset()
            self.total = dataset.count_rows()
        self._dataset = dataset
        self.columns = dataset.schema.remove_metadata()
        self.identity = f"{table.metadata().id} {table.version()}"

    def batches(self, rows: int) -> Iterator[RawBatch]:
        # In the order of names: that of the log may be another one after a checkpoint.
        fragments = sorted(self._dataset.get_fragments(), key=lambda each: str(each.path))
        with self.place.table.translated_errors():
            yield from _numbered(
                batch
                for fragment in fragments
                for batch in fragment.scanner(
                    schema=self._dataset.schema,
                    batch_size=rows,
                    batch_readahead=1,
                    fragment_readahead=1,
                    use_threads=False,
                ).to_batches()
                if batch.num_rows
            )


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[RawBatch]:
    number = 1
    for batch in batches:
        numbers = range(number, number + batch.num_rows)
        number += batch.num_rows
        yield RawBatch(batch, numbers, done=number - 1)


def _nothing(columns: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=columns)
