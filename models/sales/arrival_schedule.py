"""The replay of a year of baskets: on which night each of them arrives, always the same.

One to three in a hundred baskets are late by one to three nights, one night sends nothing and the
next brings its baskets, and now and then yesterday's files are sent again: under their names with
the next night's, or as an arrival of another name.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The first night brings all days up to this one: ten months, of which the last is held out.
FIRST_NIGHT = np.datetime64("2017-10-31")
LATE_SHARE = 0.02
LATEST_NIGHTS = 3
EMPTY_NIGHT = np.datetime64("2017-11-14")
# Every so many days yesterday's files come once more.
SAME_NAME_EVERY, NEW_NAME_EVERY = 9, 13
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
Days = NDArray[np.int32]


@dataclass(frozen=True)
class Night:
    """One delivery: its name, the days whose nights it brings, and what it sends again.

    `nights` are the nights (as days since 1970) whose baskets it brings, first and last; of
    `again` the files are sent once more. Without nights it is only that.
    """

    name: str
    nights: tuple[int, int] | None = None
    again: int | None = None
    empty: bool = False


def mixed(numbers: NDArray[np.int64], salt: int) -> NDArray[np.float64]:
    """A number from 0 to 1 for each, that looks drawn and never changes (splitmix64)."""
    with np.errstate(over="ignore"):
        x = numbers.astype(np.uint64) + _GOLDEN * np.uint64(salt + 1)
        for shift, factor in zip((30, 27), _MIX, strict=True):
            x = (x ^ (x >> np.uint64(shift))) * factor
        x ^= x >> np.uint64(31)
    found: NDArray[np.float64] = (x >> np.uint64(11)).astype(np.float64) / 2.0**53
    return found


def arrival_nights(baskets: NDArray[np.int64], days: Days) -> Days:
    """The night on which each basket arrives: that of its day, or one to three later."""
    late = mixed(baskets, 0) < LATE_SHARE
    nights = 1 + np.minimum(mixed(baskets, 1) * LATEST_NIGHTS, LATEST_NIGHTS - 1).astype(np.int32)
    came = days + np.where(late, nights, 0)
    # What the empty night should have brought comes with the next.
    empty = np.int32(EMPTY_NIGHT.astype(int))
    found: Days = np.where(came == empty, empty + 1, came).astype(np.int32)
    return found


def nights(first: int, last: int, *, history: int) -> Iterator[Night]:
    """Every delivery in order; `first` and `last` are the days of sales, in days since 1970.

    The last three nights bring only what was late.
    """
    empty = int(EMPTY_NIGHT.astype(int))
    yield Night(f"until-{_date(history)}", (first, history))
    for night in range(history + 1, last + LATEST_NIGHTS + 1):
        since = night - history
        again = night - 1 if since > 1 and since % SAME_NAME_EVERY == 0 else None
        if night == empty:
            yield Night(f"day-{_date(night)}", empty=True)
            continue
        yield Night(f"day-{_date(night)}", (night, night), again)
        if since % NEW_NAME_EVERY == 0:
            yield Night(f"day-{_date(night)}-again", again=night)


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


def file_name(night: int) -> str:
    """The name under which a night's baskets are sent, also when they are sent again."""
    return f"baskets-{_date(night)}.parquet"
