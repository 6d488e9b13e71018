"""Where scored rows go: a CSV or Parquet file, made of parts when all are there, or a Delta table.

A part is written whole, and writing it again changes nothing: parts of files are replaced by
themselves, and a commit to a table carries the part's number as an application transaction.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake import Schema as DeltaSchema
from deltalake.transaction import AddAction, RemoveAction
from pyarrow import csv

from overnight.store.datasets.parquet_writer import write_files
from overnight.store.datasets.table_errors import LostRaceError
from overnight.store.errors import BadFile, StoreUnavailable
from overnight.tasks.scoring.answer_columns import (
    REJECTED,
    UNLIKE_COLUMN,
    csv_rows,
    csv_schema,
    stored_type,
)
from overnight.tasks.scoring.places import Kind, RowsPlace
from overnight.tasks.scoring.progress import PartsFolder

_TRIES = 10
_BLOCK_BYTES = 1 << 20
_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


class Output(Protocol):
    """An output of one run, whose rows have the `columns`."""

    def write(self, number: int, batches: Sequence[pa.RecordBatch]) -> None:
        """Write the part of this number, from 0; again has no effect."""

    def finish(self, parts: int) -> None:
        """Make the output of its parts."""


class FileOutput:
    """A CSV or Parquet file, which appears whole."""

    def __init__(self, place: RowsPlace, parts: PartsFolder, columns: pa.Schema) -> None:
        self._place, self._parts, self._columns = place, parts, columns

    def write(self, number: int, batches: Sequence[pa.RecordBatch]) -> None:
        """Write a part beside the output."""
        path = self._parts.part(number, "rows")
        _write_part(path, self._place.kind, self._columns, batches)

    def finish(self, parts: int) -> None:
        """Put all parts into the file."""
        paths = (self._parts.part(number, "rows") for number in range(parts))
        join_parts(self._place, self._columns, paths)


class DeltaOutput:
    """Rows that are appended to a Delta table, which is created where there is none."""

    def __init__(self, place: RowsPlace, run: str, columns: pa.Schema) -> None:
        """Open the table.

        Raises:
            BadFile: it has other columns.
            StoreUnavailable, StoreDenied, CorruptTable
        """
        self._place, self._address, self._run = place, place.table, f"overnight-score-{run[:32]}"
        self._columns = columns
        table = self._address.open()
        if table is None:
            table = self._address.create(columns, {})
        known, wanted = (set(_named(each)) for each in (_schema_of(table), columns))
        # A table outlives the version that began it, and not every version flags rows.
        differing = sorted((known ^ wanted) - set(_named(pa.schema([UNLIKE_COLUMN]))))
        if differing:
            shown = ", ".join(f"{name} {kind}" for name, kind in differing)[:400]
            raise BadFile(
                place.text,
                expected="a new table, or one with the columns of these answers",
                found=f"others, among them {shown}; name another table, or choose by --keep",
            )
        if wanted - known:
            with self._address.translated_errors():
                table.alter.add_columns(DeltaSchema.from_arrow(pa.schema([UNLIKE_COLUMN])).fields)

    def write(self, number: int, batches: Sequence[pa.RecordBatch]) -> None:
        """Commit a part, unless a commit of it is in the table already.

        Raises:
            StoreUnavailable, StoreDenied, CorruptTable
        """
        for _ in range(_TRIES):
            table = self._address.open_existing()
            if self._has(table, number):
                return
            try:
                self._commit(table, number, batches)
            except LostRaceError:
                continue
            return
        raise StoreUnavailable(self._address.where, f"others won all {_TRIES} races to write")

    def finish(self, parts: int) -> None:
        """Nothing: every part is in the table."""

    def _has(self, table: DeltaTable, number: int) -> bool:
        with self._address.translated_errors():
            committed = table.transaction_version(self._run)
        return committed is not None and committed >= number

    def _commit(self, table: DeltaTable, number: int, batches: Sequence[pa.RecordBatch]) -> None:
        address, schema = self._address, _schema_of(table)
        rows = (_in_columns(each, schema) for each in batches if each.num_rows)
        with address.translated_errors():
            actions: list[AddAction | RemoveAction] = []
            actions += write_files(address.uri, address.options, schema, rows)
            table.create_write_transaction(
                actions,
                mode="append",
                schema=table.schema(),
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(self._run, number, round(time.time() * 1_000))]
                ),
                post_commithook_properties=_AFTER_COMMIT,
            )


def _in_columns(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Rows in the columns of a table, of which they may lack the one of flags."""
    if UNLIKE_COLUMN.name in schema.names and UNLIKE_COLUMN.name not in rows.schema.names:
        rows = rows.append_column(UNLIKE_COLUMN, pa.nulls(rows.num_rows, UNLIKE_COLUMN.type))
    return rows.select(schema.names).cast(schema)


def write_rejected(parts: PartsFolder, number: int, kind: Kind, rows: pa.RecordBatch) -> None:
    """Write the rejected rows of a part, if there are any."""
    path = parts.part(number, "rejected")
    path.unlink(missing_ok=True)
    if rows.num_rows:
        _write_part(path, kind, REJECTED, [rows])


def join_rejected(place: RowsPlace, parts: PartsFolder, count: int) -> bool:
    """Put the rejected rows of all parts into a file, which is removed where there are none."""
    paths = [parts.part(number, "rejected") for number in range(count)]
    paths = [path for path in paths if path.exists()]
    if paths:
        join_parts(place, REJECTED, iter(paths))
    else:
        place.remove()
    return bool(paths)


def join_parts(place: RowsPlace, columns: pa.Schema, parts: Iterator[Path]) -> None:
    """Write a file that has the rows of all parts.

    Raises:
        OSError, StoreUnavailable, StoreDenied: nothing was replaced.
    """
    with place.writing() as out:
        if place.kind == "csv":
            header = csv_schema(columns).empty_table()
            csv.write_csv(header, out, csv.WriteOptions(include_header=True))
            for path in parts:
                with path.open("rb") as part:
                    while block := part.read(_BLOCK_BYTES):
                        out.write(block)
            return
        texts = [each.name for each in columns if pa.types.is_string(each.type)]
        # A dictionary pays off for texts only; a row group has the rows of a part.
        with pq.ParquetWriter(out, columns, use_dictionary=texts or False) as writer:
            for path in parts:
                with pa.memory_map(str(path)) as pages:
                    writer.write_table(pa.ipc.open_file(pages).read_all())


def _write_part(
    path: Path, kind: Kind, columns: pa.Schema, batches: Sequence[pa.RecordBatch]
) -> None:
    draft = path.with_name(f".part-{path.name}")
    if kind == "csv":
        options = csv.WriteOptions(include_header=False)
        with closing(csv.CSVWriter(str(draft), csv_schema(columns), write_options=options)) as out:
            for batch in batches:
                out.write_batch(csv_rows(batch))
    else:
        # Not yet as Parquet, which would be encoded twice.
        with pa.ipc.new_file(str(draft), columns) as writer:
            for batch in batches:
                writer.write_batch(batch)
    draft.replace(path)


def _schema_of(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _named(schema: pa.Schema) -> list[tuple[str, str]]:
    # Of lists the table has other names of the elements.
    return sorted((each.name, str(stored_type(each.type))) for each in schema)
