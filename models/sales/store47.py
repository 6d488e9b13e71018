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
from overnight.models.sales.rows import to_columns
from overnight.models.sources.csv_stream import read_lines
from overnight.models.sources.streaming import Rejected
from overnight.store.errors import BadFile

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
_USED_COLUMNS = pa.schema([pa.field(name, COLUMNS[name], nullable=False) for name in _USED])


def is_of_store47(names: Collection[str]) -> bool:
    """Whether these are the columns of the file, in any order."""
    return set(names) == set(COLUMNS)


def as_rows(file: str, table: pa.Table) -> pa.Table:
    """One row for each line: `id` stands for the basket, `family` for the department.

    Negative units are returns, and count against the day of the return. The column `perishable` is
    dropped: everywhere, perishable departments are known by name.

    Raises:
        BadFile: a value is missing or no number.
    """
    for name in _USED:
        if n := table.column(name).null_count:
            raise BadFile(file, expected=f"every {name}", found=f"{n:,} missing")
    units = table.column("unit_sales").cast(pa.float64())
    if not np.isfinite(units.to_numpy()).all():
        raise BadFile(file, expected="every unit_sales a number", found="one that is none")
    return to_columns(
        pa.table(
            {
                "basket": table.column("id").cast(pa.int64()),
                "store": pa.array(np.full(table.num_rows, STORE), pa.int32()),
                "department": table.column("family").cast(pa.string()),
                "day": table.column("date").cast(pa.date32()).cast(pa.int32()),
                "quantity": units,
            }
        )
    )


def batches(name: str, file: BinaryIO, rejected: Rejected) -> Iterator[pa.RecordBatch]:
    """The rows of the file as CSV of any length, each line by itself; raises as `as_rows`."""
    for batch in read_lines(name, file, _USED_COLUMNS, rejected):
        yield from as_rows(name, pa.Table.from_batches([batch])).to_batches()


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
