"""Schedule of the sales' replay: on which day each basket arrives, the same in every replay.

One to three in a hundred baskets are late by one to three days, one day sends nothing and the next
brings its baskets, and now and then yesterday's files are sent again: under their names with the
next day's, or as an arrival of another name.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The first arrival brings all days up to this one: ten months, of which the last is held out.
HISTORY_END = np.datetime64("2017-10-31")
LATE_SHARE = 0.02
MAXIMUM_DAYS_LATE = 3
EMPTY_DAY = np.datetime64("2017-11-14")
# Yesterday's files are sent again at these intervals, in days.
SAME_NAME_EVERY, NEW_NAME_EVERY = 9, 13
# Constants of splitmix64 (Steele, Lea and Flood 2014).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
Days = NDArray[np.int32]


@dataclass(frozen=True)
class ScheduledArrival:
    """One arrival of the replay; all days are days since 1970-01-01.

    `days` are the first and last day whose arriving baskets it brings, or None; `resent_day` is the
    day whose file it sends once more, or None. An `empty` one brings a file without lines.
    """

    name: str
    days: tuple[int, int] | None = None
    resent_day: int | None = None
    empty: bool = False


def mixed(numbers: NDArray[np.int64], salt: int) -> NDArray[np.float64]:
    """A pseudo-random number in [0, 1) for each number, always the same (splitmix64)."""
    with np.errstate(over="ignore"):
        x = numbers.astype(np.uint64) + _GOLDEN * np.uint64(salt + 1)
        for shift, factor in zip((30, 27), _MIX, strict=True):
            x = (x ^ (x >> np.uint64(shift))) * factor
        x ^= x >> np.uint64(31)
    fractions: NDArray[np.float64] = (x >> np.uint64(11)).astype(np.float64) / 2.0**53
    return fractions


def arrival_days(baskets: NDArray[np.int64], days: Days) -> Days:
    """The day on which each basket arrives: its own trading day, or one to three later."""
    is_late = mixed(baskets, 0) < LATE_SHARE
    drawn = (mixed(baskets, 1) * MAXIMUM_DAYS_LATE).astype(np.int32)
    arrived = days + np.where(is_late, 1 + np.minimum(drawn, MAXIMUM_DAYS_LATE - 1), 0)
    # What the empty day should have brought comes with the next.
    empty = np.int32(EMPTY_DAY.astype(int))
    return np.where(arrived == empty, empty + 1, arrived).astype(np.int32)


def arrivals(first: int, last: int, *, history: int) -> Iterator[ScheduledArrival]:
    """Every arrival in order, for the days `first` to `last`; the first brings those to `history`.

    The last three bring only what was late. Their names are keys of stored arrivals, by which a
    replay that has begun continues: they never change.
    """
    empty = int(EMPTY_DAY.astype(int))
    yield ScheduledArrival(f"until-{_date(history)}", (first, history))
    for day in range(history + 1, last + MAXIMUM_DAYS_LATE + 1):
        since = day - history
        resent = day - 1 if since > 1 and since % SAME_NAME_EVERY == 0 else None
        if day == empty:
            yield ScheduledArrival(f"day-{_date(day)}", empty=True)
            continue
        yield ScheduledArrival(f"day-{_date(day)}", (day, day), resent)
        if since % NEW_NAME_EVERY == 0:
            yield ScheduledArrival(f"day-{_date(day)}-again", resent_day=day)


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


def file_name(day: int) -> str:
    """The name of the file of a day's arriving baskets, also when it is sent again."""
    return f"baskets-{_date(day)}.parquet"
