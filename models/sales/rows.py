"""Rows of sales, one for each basket and department, and the aggregation of lines to rows.

A basket is final when it arrives, and whole in its file: store, basket and department identify a
row. So a basket that is sent again, under any name, is a duplicate, and a late one is a new row.
"""

import hashlib
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from overnight.store.errors import BadFile

# Departments whose quantities are in other units than pieces (fuel: thousandths of a gallon, it
# seems); they have a column of their own.
APART = ("FUEL", "MISCELLANEOUS")
NAMELESS = "NONE"
# The fullest basket of the year has 212 pieces of one department. What is counted in thousandths
# has more in any basket; of a small department, shares and spreads of all rows do not show it.
MOST_PIECES = 500

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


IN_ORDER = [(name, "ascending") for name in ("day", "basket", "department")]
# The columns of the lines of baskets.
LINES = pa.schema(
    [
        ("basket", pa.int64()),
        ("store", pa.int32()),
        ("department", pa.string()),
        ("day", pa.int32()),
        ("quantity", pa.float64()),
    ]
)


def as_rows(file: str, lines: pa.Table) -> pa.Table:
    """One row for each basket and department of `LINES`: `units` in pieces, `apart` in others.

    Raises:
        BadFile: a basket is of two stores or two days, or holds more pieces than any does.
    """
    for basket, name in torn_baskets(lines).items():
        expected = f"each basket whole, of one {name}"
        raise BadFile(file, expected=expected, found=f"basket {basket} of two")
    named = pc.fill_null(lines.column("department"), NAMELESS)
    lines = lines.set_column(lines.column_names.index("department"), "department", named)
    # One thread: the order of additions decides the last bits of a sum.
    summed = lines.group_by(LINES.names[:4], use_threads=False).aggregate([("quantity", "sum")])
    summed = summed.rename_columns(LINES.names)
    _check_pieces(file, summed)
    return to_columns(summed)


def _check_pieces(file: str, summed: pa.Table) -> None:
    """Check that departments are counted in pieces, but for those that never are."""
    counted = summed.filter(pc.invert(pc.is_in(summed["department"], pa.array(APART))))
    beyond = counted.filter(pc.greater(pc.abs(counted["quantity"]), MOST_PIECES))
    if beyond.num_rows:
        first = beyond.slice(0, 1).to_pylist()[0]
        raise BadFile(
            file,
            expected=f"at most {MOST_PIECES} pieces of a department in a basket",
            found=f"{first['quantity']:,.0f} of {first['department']} in basket {first['basket']}, "
            f"and more than {MOST_PIECES} in {beyond.num_rows:,} rows; are they in other units?",
        )


def torn_baskets(lines: pa.Table) -> Mapping[int, str]:
    """The baskets that are of two stores or two days, and which of both, in order."""
    baskets = lines.group_by("basket", use_threads=False).aggregate(
        [("store", "min_max"), ("day", "min_max")]
    )
    torn: dict[int, str] = {}
    for name in ("day", "store"):
        ends = baskets.column(f"{name}_min_max")
        differ = pc.not_equal(pc.struct_field(ends, "min"), pc.struct_field(ends, "max"))
        torn |= dict.fromkeys(baskets.filter(differ).column("basket").to_pylist(), name)
    return torn


def to_columns(summed: pa.Table) -> pa.Table:
    """Rows in the source's columns, in order, of lines or sums of `LINES`."""
    apart = pc.is_in(summed.column("department"), pa.array(APART))
    quantity, nothing = summed.column("quantity"), pa.scalar(0.0)
    columns = [
        *(summed.column(name) for name in COLUMNS.names[:4]),
        pc.if_else(apart, nothing, quantity),
        pc.if_else(apart, quantity, nothing),
        _digests(summed),
    ]
    return pa.table(columns, schema=COLUMNS).sort_by(IN_ORDER)


def _digests(rows: pa.Table) -> pa.Array:
    """The sha256 of a row's identity: its store, basket and department, not its quantity."""
    names = ("store", "basket", "department")
    texts = [rows.column(name).cast(pa.string()) for name in names]
    names_joined = pc.binary_join_element_wise(*texts, "\t").to_pylist()
    return pa.array(
        [hashlib.sha256(text.encode()).hexdigest() for text in names_joined], pa.string()
    )
