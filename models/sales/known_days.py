"""Which days are known, and what stands for one that is not."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.sales.holidays import CLOSED, FIRST_DAY, LAST_DAY, kinds
from overnight.models.sales.rows import APART
from overnight.models.sales.schema import RECENT_DAYS

# A day with fewer rows than this share of a usual day's did not come, or came as a mistake. The
# quietest day of the year has 0.59 of them; of a night left out, late baskets bring 0.03 at most.
_HARDLY = 0.1
_WEEK = 7
Ints = NDArray[np.int32]


def counted(rows: pa.Table) -> pa.Table:
    """The rows that count pieces."""
    return rows.filter(pc.invert(pc.is_in(rows["department"], pa.array(APART))))


def known_days(rows: pa.Table) -> Ints:
    """The days that came with about as many rows as others do, in order.

    Raises:
        ValueError: there is none.
    """
    days, counts = np.unique(counted(rows)["day"].to_numpy(), return_counts=True)
    if not len(days):
        raise ValueError("no row counts pieces of any day; an example needs some")
    found: Ints = days[counts >= _HARDLY * np.median(counts)].astype(np.int32)
    return found


def closed(days: Ints) -> NDArray[np.bool_]:
    """On which days nobody sells, by the calendar: there, no rows are the truth."""
    inside = (days >= FIRST_DAY) & (days <= LAST_DAY)
    found: NDArray[np.bool_] = inside & (kinds()[np.where(inside, days - FIRST_DAY, 0)] == CLOSED)
    return found


def guess(units: NDArray[np.float32], unknown: Ints, known: Ints) -> None:
    """Fill days in with the same weekday's newest known sales before, or else the first after.

    `units` is [series, days], days are counted from its first. Every window of 56 days ends later
    than the 55th, so what comes after is no news to any.
    """
    for day in unknown.tolist():
        alike = known[(known - day) % _WEEK == 0]
        before, after = alike[alike < day], alike[(alike > day) & (alike < RECENT_DAYS)]
        units[:, day] = 0
        if len(before) or len(after):
            units[:, day] = units[:, before[-1] if len(before) else after[0]]
