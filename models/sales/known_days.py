"""Days whose sales are known, and the imputation of those that are missing."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.sales.holidays import CLOSED, FIRST_DAY, LAST_DAY, kinds
from overnight.models.sales.rows import APART
from overnight.models.sales.schema import RECENT_DAYS

# A day with fewer rows than this share of a usual day's counts as missing. The quietest day of the
# year has 0.59; of a day whose arrival is missing, late baskets bring 0.03 at most.
_LEAST_SHARE = 0.1
_WEEK = 7
Ints = NDArray[np.int32]


def counted_rows(rows: pa.Table) -> pa.Table:
    """The rows of departments that are counted in pieces."""
    return rows.filter(pc.invert(pc.is_in(rows["department"], pa.array(APART))))


def known_days(rows: pa.Table) -> Ints:
    """The days with about as many rows as others, in order.

    Raises:
        ValueError: there is none.
    """
    days, counts = np.unique(counted_rows(rows)["day"].to_numpy(), return_counts=True)
    if not len(days):
        raise ValueError("no row counts pieces; an example needs some")
    known: Ints = days[counts >= _LEAST_SHARE * np.median(counts)].astype(np.int32)
    return known


def closed(days: Ints) -> NDArray[np.bool_]:
    """Which days the stores are closed, by the calendar: there, no rows mean no sales."""
    inside = (days >= FIRST_DAY) & (days <= LAST_DAY)
    is_closed: NDArray[np.bool_] = inside & (
        kinds()[np.where(inside, days - FIRST_DAY, 0)] == CLOSED
    )
    return is_closed


def impute(units: NDArray[np.float32], unknown: Ints, known: Ints) -> None:
    """Fill unknown days with the same weekday's newest known sales before, or else the first after.

    `units`, [series, days], is changed in place; days are counted from its first. Every window of
    56 days ends after day 55, so values from days before that leak no future into any.
    """
    for day in unknown.tolist():
        same_weekday = known[(known - day) % _WEEK == 0]
        before, after = (
            same_weekday[same_weekday < day],
            same_weekday[(same_weekday > day) & (same_weekday < RECENT_DAYS)],
        )
        units[:, day] = 0
        if len(before) or len(after):
            units[:, day] = units[:, before[-1] if len(before) else after[0]]
