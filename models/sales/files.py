"""Reads arrivals of sales in any supported format.

Of a CSV invalid lines are kept apart, with all lines of their baskets; a Parquet file is read whole
or rejected whole.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

import pyarrow as pa

from overnight.models.definition import Reading
from overnight.models.sales import basket_lines, store47
from overnight.models.sales.rows import COLUMNS, IN_ORDER, LINES, as_rows, to_columns
from overnight.models.sources import csv_stream
from overnight.models.sources.parquet_file import ParquetReader
from overnight.models.sources.streaming import BadLine
from overnight.store.errors import BadFile

MAXIMUM_LINES = 5_000_000
MAXIMUM_BYTES = 500_000_000
_Read = tuple[pa.Table, tuple[BadFile, ...]]


def read_files(files: Mapping[str, bytes]) -> Reading:
    """The rows of all files in order of their names, and the files and lines rejected."""
    tables: list[pa.Table] = []
    rejected: list[BadFile] = []
    if not files:
        rejected.append(BadFile("the arrival", expected="at least one file", found="none"))
    for file, body in sorted(files.items()):
        try:
            rows, bad = read(file, body)
        except BadFile as error:
            rejected.append(error)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            rejected.append(
                BadFile(file, expected="a table of sales", found=f"{error}"[:200] or repr(error))
            )
        else:
            tables.append(rows)
            rejected += bad
    rows = pa.concat_tables([COLUMNS.empty_table(), *tables]).combine_chunks()
    return Reading(rows, tuple(rejected))


def read(file: str, body: bytes) -> _Read:
    """The rows of a table of lines, or of CD4ML's file of one store, and its rejected lines.

    Raises:
        BadFile: another kind of file, or a column or value that is not as declared.
    """
    form = _FORMS.get(PurePosixPath(file.lower().removesuffix(".gz")).suffix)
    if form is None:
        raise BadFile(file, expected=" or ".join(_FORMS), found="another kind of file")
    return form(file, body)


def _csv(file: str, body: bytes) -> _Read:
    names = csv_stream.header(file, io.BytesIO(body)).names
    bad: list[BadLine] = []
    if store47.is_of_store47(names):
        lines = store47.batches(file, io.BytesIO(body), bad.append, most_bytes=MAXIMUM_BYTES)
        rows = pa.Table.from_batches(lines, COLUMNS).sort_by(IN_ORDER)
    else:
        baskets, bad = basket_lines.read_csv(file, body, most_bytes=MAXIMUM_BYTES)
        rows = as_rows(file, baskets)
    return rows, csv_stream.as_rejection(file, bad)


def _parquet(file: str, body: bytes) -> _Read:
    reader = ParquetReader(file, body, most_rows=MAXIMUM_LINES, most_bytes=MAXIMUM_BYTES)
    if store47.is_of_store47(reader.schema.names):
        lines = _lines(file, reader.batches(store47.USED_COLUMNS.names), store47.as_lines)
        return to_columns(lines), ()
    moments = reader.batches(basket_lines.COLUMNS[-1:])
    basket_lines.check_moments(file, (batch.column(0) for batch in moments))
    lines = _lines(file, reader.batches(basket_lines.COLUMNS), basket_lines.as_lines)
    return as_rows(file, lines), ()


def _lines(
    file: str, batches: Iterable[pa.RecordBatch], as_lines: Callable[[pa.Table], pa.Table]
) -> pa.Table:
    """The lines of all batches.

    Raises:
        BadFile: naming the first row that is not as declared, counted from 0.
    """
    tables, row = [LINES.empty_table()], 0
    for batch in batches:
        raw = pa.Table.from_batches([batch])
        try:
            tables.append(as_lines(raw))
        except pa.ArrowInvalid:
            first, problem = _first_invalid(raw, as_lines)
            where = f"row {row + first:,}: {problem}"
            raise BadFile(file, expected="every row as declared", found=where) from None
        row += raw.num_rows
    return pa.concat_tables(tables).combine_chunks()


def _first_invalid(raw: pa.Table, as_lines: Callable[[pa.Table], pa.Table]) -> tuple[int, str]:
    """The first row that is no line, and why, by bisection."""
    start, n = 0, raw.num_rows
    while n > 1:
        try:
            as_lines(raw.slice(start, n // 2))
        except pa.ArrowInvalid:
            n //= 2
        else:
            start, n = start + n // 2, n - n // 2
    try:
        as_lines(raw.slice(start, 1))
    except pa.ArrowInvalid as error:
        return start, str(error)
    raise AssertionError("one of the rows is invalid")


_FORMS: Mapping[str, Callable[[str, bytes], _Read]] = {".parquet": _parquet, ".csv": _csv}
