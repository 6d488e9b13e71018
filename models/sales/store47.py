"""CD4ML's `store47-2016.csv`: one store's sales by item and day.

No package carries the file; it is read from the folder in OVERNIGHT_SOURCE_FOLDERS__SALES, or
ingested like any other file.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.errors import SourceUnavailable
from overnight.models.sales.rows import LINES, to_columns
from overnight.models.sources.csv_stream import read_lines
from overnight.models.sources.streaming import Rejected

FILE = "store47-2016.csv"
OFFICIAL_MD5 = "a269ea06e07424957949abb6172578f8"
STORE = 47
COLUMNS: Mapping[str, pa.DataType] = {
    "id": pa.int64(),
    "date": pa.date32(),
    "item_nbr": pa.int64(),
    "unit_sales": pa.float64(),
    "family": pa.string(),
    "class": pa.int64(),
    "perishable": pa.int64(),
    "transactions": pa.int64(),
    "year": pa.int64(),
    "month": pa.int64(),
    "day": pa.int64(),
    "dayofweek": pa.int64(),
    "days_til_end_of_data": pa.int64(),
    "dayoff": pa.string(),
}
_USED = ("id", "date", "unit_sales", "family")
USED_COLUMNS = pa.schema([pa.field(name, COLUMNS[name], nullable=False) for name in _USED])


def is_of_store47(names: Collection[str]) -> bool:
    """Whether all columns of the file are among these."""
    return set(names) >= set(COLUMNS)


def as_lines(table: pa.Table) -> pa.Table:
    """One line for each row: `id` stands for the basket, `family` for the department.

    Negative units are returns, and count against the day of the return. The column `perishable` is
    dropped: everywhere, perishable departments are known by name.

    Raises:
        ArrowInvalid: a value is missing or no number, naming its column.
    """
    for name in _USED:
        if table.column(name).null_count:
            raise pa.ArrowInvalid(f"{name}: no value")
    units = table.column("unit_sales").cast(pa.float64())
    if pc.all(pc.is_finite(units)).as_py() is False:
        raise pa.ArrowInvalid("unit_sales: not a number")
    columns = [
        table.column("id").cast(pa.int64()),
        pa.array(np.full(table.num_rows, STORE), pa.int32()),
        table.column("family").cast(pa.string()),
        table.column("date").cast(pa.date32()).cast(pa.int32()),
        units,
    ]
    return pa.table(columns, schema=LINES)


def batches(
    name: str, file: BinaryIO, rejected: Rejected, *, most_bytes: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of the file as CSV of any length, each line by itself."""
    lines = read_lines(name, file, USED_COLUMNS, rejected, check=_problem, most_bytes=most_bytes)
    for batch in lines:
        yield from to_columns(as_lines(pa.Table.from_batches([batch]))).to_batches()


def _problem(table: pa.Table) -> str:
    try:
        as_lines(table)
    except pa.ArrowInvalid as error:
        return str(error)
    return ""


def official(folder: Path) -> bytes | None:
    """The file in a folder, or None when it is not there.

    Raises:
        SourceUnavailable: its digest is not that of the file CD4ML published.
    """
    try:
        body = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if digest != OFFICIAL_MD5:
        raise SourceUnavailable(
            "the sales of store 47",
            [f"{folder / FILE} (md5 {digest}, expected {OFFICIAL_MD5})"],
            "put the file there that CD4ML publishes, or take it away",
        )
    return body


def of_days(body: bytes, first: int, last: int) -> bytes:
    """The lines of the file from one day to another, both included, in days since 1970."""
    from pyarrow import csv

    table = csv.read_csv(
        pa.BufferReader(body), convert_options=csv.ConvertOptions(column_types=COLUMNS)
    )
    days = table.column("date").cast(pa.int32())
    chosen = table.filter(pc.and_(pc.greater_equal(days, first), pc.less_equal(days, last)))
    sink = pa.BufferOutputStream()
    csv.write_csv(chosen, sink)
    return bytes(sink.getvalue())
