"""The lines of baskets: their columns in a file, and CSV files of them."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.sales.moments import are_midnights, trading_days
from overnight.models.sales.rows import LINES, torn_baskets
from overnight.models.sources import csv_stream
from overnight.models.sources.streaming import BadLine
from overnight.store.errors import BadFile

_MOMENT = "transaction_timestamp"
# The columns of a file; other columns are ignored, and only a department may be missing. Moments
# are read as text, because only the text of a date shows that it has no time.
_COLUMNS = pa.schema(
    [
        pa.field("basket_id", pa.int64(), nullable=False),
        pa.field("store_id", pa.int64(), nullable=False),
        pa.field("department", pa.string()),
        pa.field("quantity", pa.float64(), nullable=False),
        pa.field(_MOMENT, pa.string(), nullable=False),
    ]
)
COLUMNS: tuple[str, ...] = tuple(_COLUMNS.names)
_MOST_STORE = np.iinfo(np.int32).max


def as_lines(table: pa.Table) -> pa.Table:
    """The lines of a table of these columns, of any types that can be cast without loss.

    Raises:
        ArrowInvalid: a value is missing or is not as declared, naming its column.
    """
    for field in _COLUMNS:
        if not field.nullable and table.column(field.name).null_count:
            raise pa.ArrowInvalid(f"{field.name}: no value")
    basket, store, department, quantity = (
        _cast(table, field) for field in _COLUMNS if field.name != _MOMENT
    )
    if pc.all(pc.is_finite(quantity)).as_py() is False:
        raise pa.ArrowInvalid("quantity: not a number")
    in_range = pc.and_(pc.greater_equal(store, 0), pc.less_equal(store, _MOST_STORE))
    if pc.all(in_range).as_py() is False:
        raise pa.ArrowInvalid(f"store_id: expected the number of a store, 0 to {_MOST_STORE}")
    try:
        days = trading_days(table.column(_MOMENT))
    except pa.ArrowInvalid as error:
        raise pa.ArrowInvalid(f"{_MOMENT}: {error}") from None
    columns = [basket, store.cast(pa.int32()), department, pa.array(days, pa.int32()), quantity]
    return pa.table(columns, schema=LINES)


def check_moments(file: str, moments: Iterable[pa.Array]) -> None:
    """Check that moments are not dates that were stored as times.

    Raises:
        BadFile: each of them is midnight.
    """
    chunks = [chunk for chunk in moments if len(chunk)]
    if chunks and all(are_midnights(pa.chunked_array([chunk])) for chunk in chunks):
        raise BadFile(
            file,
            expected=f"{_MOMENT} as the moment at which a basket was paid, or as a date without a "
            "time",
            found="midnight in every line, by which each would belong to the trading day before",
        )


def read_csv(file: str, body: bytes, *, most_bytes: int) -> tuple[pa.Table, list[BadLine]]:
    """The lines of a CSV file, and those that are kept apart.

    A basket is whole or not there, because what is added to it later would count as sent again: so
    an invalid line keeps all lines of its basket apart, and so do two stores or days of a basket.

    Raises:
        BadFile: as `csv_stream.read_lines`, or a line does not show to which basket it belongs.
    """
    raw, bad = csv_stream.read_whole(file, body, _COLUMNS, check=_check({}), most_bytes=most_bytes)
    names = csv_stream.header(file, io.BytesIO(body)).names
    apart = {
        basket: f"basket {basket} has an invalid line, {line.number:,}"
        for line in bad
        for basket in _baskets(file, line, names)
    }
    torn = torn_baskets(as_lines(raw))
    apart |= {basket: f"basket {basket} is of two {name}s" for basket, name in torn.items()}
    if apart:
        raw, bad = csv_stream.read_whole(
            file, body, _COLUMNS, check=_check(apart), most_bytes=most_bytes
        )
    check_moments(file, raw.column(_MOMENT).chunks)
    return as_lines(raw), bad


def _check(apart: Mapping[int, str]) -> Callable[[pa.Table], str]:
    """A check of lines: each is as declared, and of no basket that is kept apart."""
    baskets = pa.array([*apart], pa.int64())

    def check(table: pa.Table) -> str:
        try:
            as_lines(table)
        except pa.ArrowInvalid as error:
            return str(error)
        column = table.column("basket_id")
        known = column.filter(pc.is_in(column, baskets)).to_pylist()
        return apart[known[0]] if known else ""

    return check


def _baskets(file: str, line: BadLine, names: tuple[str, ...]) -> Collection[int]:
    """The baskets to which an invalid line may belong.

    Where it has a comma too many or too few, the number is at its place counted from the left or
    from the right.
    """
    place = names.index("basket_id")
    text = line.text.decode(errors="replace")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    places = {place, len(cells) - len(names) + place} & {*range(len(cells))}
    baskets = {int(cells[index]) for index in places if cells[index].strip().isdecimal()}
    if not baskets:
        raise BadFile(file, expected="a basket_id in every line", found=str(line))
    return baskets


def _cast(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    try:
        return table.column(field.name).cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise pa.ArrowInvalid(f"{field.name}: {error}"[:200]) from None
