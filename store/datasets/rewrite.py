"""Reads the rows of a Delta table in batches, and writes them again with wider types."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, PostCommitHookProperties, Schema

from overnight.store.datasets.column_types import cast_columns
from overnight.store.datasets.parquet_writer import write_files

_ROWS_AT_ONCE = 65_536


def scanned(
    table: DeltaTable,
    columns: Sequence[str],
    *,
    where: pc.Expression | None = None,
    rows_at_once: int = _ROWS_AT_ONCE,
) -> Iterator[pa.RecordBatch]:
    """Some columns of all rows, or of those `where` it holds, some rows in memory at a time.

    Files and groups of rows of which it cannot hold, by their statistics, are not read.
    """
    scanner = table.to_pyarrow_dataset().scanner(
        columns=list(columns),
        filter=where,
        batch_size=rows_at_once,
        # Arrow's defaults would read ahead a large part of the table into memory.
        batch_readahead=1,
        fragment_readahead=1,
        use_threads=False,
    )
    yield from scanner.to_batches()


def widen(
    table: DeltaTable,
    kinds: Mapping[str, pa.DataType],
    options: dict[str, str] | None,
    *,
    after_commit: PostCommitHookProperties,
) -> None:
    """Write all rows again with wider types of some columns, in one commit.

    An arrival that another writer commits meanwhile stays: the commit removes only the files that
    were rewritten. Earlier versions stay as they are.

    Raises:
        IncompatibleColumns: a value has no equal in the wider type.
        CommitFailedError: another writer changed the columns meanwhile.
    """
    own = pa.schema(table.schema().to_arrow())
    wider = pa.schema([field.with_type(kinds.get(field.name, field.type)) for field in own])
    batches = (cast_columns(batch, kinds) for batch in scanned(table, own.names))
    table.create_write_transaction(
        [*write_files(table.table_uri, options, wider, batches)],
        mode="overwrite",
        schema=Schema.from_arrow(wider),
        post_commithook_properties=after_commit,
    )
