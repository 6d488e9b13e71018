"""Rows of sales, one for each basket and department, and the aggregation of lines to rows.

A basket is final when it arrives, and whole in its file: store, basket and department identify a
row. So a basket that is sent again, under any name, is a duplicate, and a late one is a new row.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.store.errors import BadFile

# A trading day runs from 09:00 UTC to 09:00 UTC, all year: four or five in the morning in Ohio, the
# hours with the fewest baskets. Midnight UTC would split every evening over two days.
DAY_BEGINS_HOUR = 9
# Departments whose quantities are in other units than pieces (fuel: thousandths of a gallon, it
# seems); they have a column of their own.
APART = ("FUEL", "MISCELLANEOUS")
NAMELESS = "NONE"

COLUMNS = pa.schema(
    [
        ("basket", pa.int64()),
        ("store", pa.int32()),
        ("department", pa.string()),
        ("day", pa.int32()),
        ("units", pa.float64()),
        ("apart", pa.float64()),
        ("digest", pa.string()),
    ]
)
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Lines:
    """Lines of baskets as columns of n values; `moment` is datetime64 of any unit, in UTC."""

    basket: NDArray[np.int64]
    store: NDArray[np.int64]
    department: pa.Array
    quantity: NDArray[np.float64]
    moment: NDArray[np.datetime64]


def trading_day(moments: NDArray[np.datetime64]) -> NDArray[np.int32]:
    """The trading day of each moment, in days since 1970-01-01."""
    begun = moments.astype("datetime64[s]") - np.timedelta64(DAY_BEGINS_HOUR, "h")
    days: NDArray[np.int32] = begun.astype("datetime64[D]").astype(np.int32)
    return days


def as_rows(file: str, lines: Lines) -> pa.Table:
    """One row for each basket and department: `units` in pieces, `apart` in other units.

    Raises:
        BadFile: a basket is of two stores or two days.
    """
    department = pc.fill_null(lines.department.cast(pa.string()), NAMELESS)
    table = pa.table(
        {
            "basket": pa.array(lines.basket, pa.int64()),
            "store": pa.array(lines.store, pa.int32()),
            "department": department,
            "day": pa.array(trading_day(lines.moment), pa.int32()),
            "quantity": pa.array(lines.quantity, pa.float64()),
        }
    )
    _check_whole(file, table)
    # One thread: the order of additions decides the last bits of a sum.
    summed = table.group_by(["basket", "store", "department", "day"], use_threads=False).aggregate(
        [("quantity", "sum")]
    )
    return to_columns(summed.rename_columns(["basket", "store", "department", "day", "quantity"]))


def to_columns(summed: pa.Table) -> pa.Table:
    """Rows in the source's columns, of `basket`, `store`, `department`, `day` and `quantity`."""
    apart = pc.is_in(summed.column("department"), pa.array(APART))
    quantity, nothing = summed.column("quantity"), pa.scalar(0.0)
    columns = [
        *(summed.column(name) for name in COLUMNS.names[:4]),
        pc.if_else(apart, nothing, quantity),
        pc.if_else(apart, quantity, nothing),
        _digests(summed),
    ]
    return pa.table(columns, schema=COLUMNS).sort_by(
        [(name, "ascending") for name in ("day", "basket", "department")]
    )


def _digests(rows: pa.Table) -> pa.Array:
    """The sha256 of a row's identity: its store, basket and department, not its quantity."""
    names = ("store", "basket", "department")
    texts = [rows.column(name).cast(pa.string()) for name in names]
    names_joined = pc.binary_join_element_wise(*texts, "\t").to_pylist()
    return pa.array(
        [hashlib.sha256(text.encode()).hexdigest() for text in names_joined], pa.string()
    )


def _check_whole(file: str, lines: pa.Table) -> None:
    baskets = lines.group_by("basket", use_threads=False).aggregate(
        [("store", "min_max"), ("day", "min_max")]
    )
    for name in ("store", "day"):
        ends = pc.struct_field(baskets.column(f"{name}_min_max"), "min")
        other = pc.struct_field(baskets.column(f"{name}_min_max"), "max")
        torn = baskets.filter(pc.not_equal(ends, other))
        if torn.num_rows:
            raise BadFile(
                file,
                expected=f"each basket whole, of one {name}",
                found=f"basket {torn.column('basket')[0]} of two",
            )
