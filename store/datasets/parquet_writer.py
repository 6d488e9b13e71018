"""Writes data files of a Delta table in a stream; a later commit makes them visible.

Delta's own writer needs memory for many times the rows it writes, Arrow's for one row group. Vacuum
deletes files that no commit names.
"""

import itertools
import json
import time
import uuid
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction

# Bound the memory: one group is held until it is written.
GROUP_ROWS = 65_536
GROUP_BYTES = 64_000_000
FILE_GROUPS = 32


def write_files(
    uri: str,
    options: dict[str, str] | None,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    *,
    partition: Mapping[str, str] | None = None,
) -> list[AddAction]:
    """Write rows into files below a table, and return the actions that a commit needs.

    `partition`: the values of the columns by which the table is partitioned, which all of these
    rows have, and which are therefore no columns of theirs.
    """
    filesystem = pafs.PyFileSystem(DeltaStorageHandler(uri, options))
    folder = "".join(f"{column}={value}/" for column, value in (partition or {}).items())
    groups = _groups(batches)
    written: list[AddAction] = []
    for first in groups:
        # A random name: two runs that write the same arrival must not collide.
        name = f"{folder}part-{len(written):05d}-{uuid.uuid4()}-c000.snappy.parquet"
        rows = 0
        with filesystem.open_output_stream(name) as out:
            with pq.ParquetWriter(out, schema, use_dictionary=_texts(schema)) as writer:
                for group in itertools.chain([first], itertools.islice(groups, FILE_GROUPS - 1)):
                    writer.write_table(group)
                    rows += group.num_rows
            size = out.tell()
        written.append(_added(name, size, rows, partition or {}))
    return written


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if (
            sum(batch.num_rows for batch in waiting) >= GROUP_ROWS
            or sum(batch.nbytes for batch in waiting) >= GROUP_BYTES
        ):
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _texts(schema: pa.Schema) -> list[str] | bool:
    """The columns to dictionary-encode: text that repeats, so not digests or numbers."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return [name for name in texts if name != "digest"] or False


def _added(name: str, size: int, rows: int, partition: Mapping[str, str]) -> AddAction:
    return AddAction(
        path=name,
        size=size,
        partition_values=dict(partition),
        modification_time=int(time.time() * 1_000),
        data_change=True,
        stats=json.dumps({"numRecords": rows}),
    )
