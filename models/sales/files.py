"""Reads arrivals of sales in any supported format; a file is read whole or rejected whole."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from overnight.models.definition import Reading
from overnight.models.sales import store47
from overnight.models.sales.rows import COLUMNS, Lines, as_rows
from overnight.store.errors import BadFile

MAXIMUM_LINES = 20_000_000
MAXIMUM_BYTES = 2_000_000_000
# Required columns of lines and their types; other columns are ignored.
LINE_COLUMNS: Mapping[str, pa.DataType] = {
    "basket_id": pa.int64(),
    "store_id": pa.int64(),
    "department": pa.string(),
    "quantity": pa.float64(),
    "transaction_timestamp": pa.timestamp("us"),
}


def read_files(files: Mapping[str, bytes]) -> Reading:
    """The rows of all files in order of their names, and the files that were rejected."""
    tables: list[pa.Table] = []
    rejected: list[BadFile] = []
    if not files:
        rejected.append(BadFile("the arrival", expected="at least one file", found="none"))
    for file, body in sorted(files.items()):
        try:
            tables.append(read(file, body))
        except BadFile as error:
            rejected.append(error)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            rejected.append(
                BadFile(file, expected="a table of sales", found=f"{error}"[:200] or repr(error))
            )
    rows = pa.concat_tables([COLUMNS.empty_table(), *tables]).combine_chunks()
    return Reading(rows, tuple(rejected))


def read(file: str, body: bytes) -> pa.Table:
    """The rows of a table of lines, or of CD4ML's file of one store.

    Raises:
        BadFile: another kind of file, or a column or value that is not as declared.
    """
    form = _FORMS.get(PurePosixPath(file.lower().removesuffix(".gz")).suffix)
    if form is None:
        raise BadFile(file, expected=" or ".join(_FORMS), found="another kind of file")
    table = form(file, _decompress(file, body))
    if store47.is_of_store47(table.column_names):
        return store47.as_rows(file, table)
    return as_rows(file, _lines(file, table))


def _decompress(file: str, body: bytes) -> bytes:
    if not file.lower().endswith(".gz"):
        return body
    try:
        plain = zlib.decompressobj(wbits=31).decompress(body, MAXIMUM_BYTES)
        if len(plain) < MAXIMUM_BYTES:
            return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(file, expected="a gzip file", found=str(error)[:200]) from None
    raise BadFile(file, expected=f"less than {MAXIMUM_BYTES:,} bytes", found="more, unpacked")


def _csv(file: str, body: bytes) -> pa.Table:
    del file
    kinds = {**LINE_COLUMNS, **store47.COLUMNS}
    return pyarrow.csv.read_csv(
        pa.BufferReader(body),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=kinds, null_values=["", "NA"], strings_can_be_null=True
        ),
    )


def _parquet(file: str, body: bytes) -> pa.Table:
    parquet = pyarrow.parquet.ParquetFile(pa.BufferReader(body))
    # A few bytes of Parquet can stand for any number of equal rows.
    if (n := parquet.metadata.num_rows) > MAXIMUM_LINES:
        raise BadFile(file, expected=f"at most {MAXIMUM_LINES:,} lines", found=f"{n:,}")
    return parquet.read()


_FORMS: Mapping[str, Callable[[str, bytes], pa.Table]] = {".parquet": _parquet, ".csv": _csv}


def _lines(file: str, table: pa.Table) -> Lines:
    """The columns of lines, cast and complete; only a department may be missing."""
    missing = [name for name in LINE_COLUMNS if name not in table.column_names]
    if missing:
        raise BadFile(
            file,
            expected=f"the columns {', '.join(LINE_COLUMNS)}",
            found=f"no {missing[0]} among {', '.join(table.column_names[:12])}",
        )
    for name in LINE_COLUMNS:
        if name != "department" and (n := table.column(name).null_count):
            raise BadFile(file, expected=f"every {name}", found=f"{n:,} missing")
    # Time stamps of nanoseconds lose their last digits; no other cast may lose anything.
    columns = {
        name: table.column(name).cast(kind, safe=name != "transaction_timestamp").combine_chunks()
        for name, kind in LINE_COLUMNS.items()
    }
    quantity = columns["quantity"].to_numpy(zero_copy_only=False)
    if not np.isfinite(quantity).all():
        raise BadFile(file, expected="every quantity a number", found="one that is none")
    store = columns["store_id"].to_numpy(zero_copy_only=False)
    if len(store) and (store.min() < 0 or store.max() > np.iinfo(np.int32).max):
        raise BadFile(file, expected="numbers of stores", found=f"{store.min()} to {store.max()}")
    moment = pc.cast(columns["transaction_timestamp"], pa.timestamp("us"))
    return Lines(
        basket=columns["basket_id"].to_numpy(zero_copy_only=False),
        store=store,
        department=columns["department"],
        quantity=quantity,
        moment=moment.to_numpy(zero_copy_only=False),
    )
