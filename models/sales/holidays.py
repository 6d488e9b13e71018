"""Calendar of the stores: kinds of days by rule, from 2016 to 2030."""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

# The days that can be forecast, in days since 1970-01-01.
FIRST_DAY = (date(2016, 1, 1) - date(1970, 1, 1)).days
LAST_DAY = (date(2030, 12, 31) - date(1970, 1, 1)).days
KINDS = ("ordinary", "closed", "feast", "eve of a feast", "long weekend")
CLOSED, FEAST, EVE, LONG = range(1, len(KINDS))
_EVES = 3
_MONDAY, _THURSDAY = 0, 3


def kinds(years: range = range(2015, 2032)) -> NDArray[np.int32]:
    """The kind of each day from `FIRST_DAY` to `LAST_DAY`, an index into `KINDS`."""
    by_day = np.zeros(LAST_DAY - FIRST_DAY + 1, np.int32)
    for year in years:
        for monday in _long_weekends(year):
            for days_before in range(3):
                _mark(by_day, monday - timedelta(days_before), LONG)
    for feast in (feast for year in years for feast in feasts(year)):
        for days_before in range(1, _EVES + 1):
            _mark(by_day, feast - timedelta(days_before), EVE)
    for year in years:
        for feast in feasts(year):
            _mark(by_day, feast, FEAST)
        _mark(by_day, date(year, 12, 25), CLOSED)
    return by_day


def holiday_weeks() -> NDArray[np.bool_]:
    """For each day from `FIRST_DAY` to `LAST_DAY`, whether a feast is at most six days ahead.

    These are the days on which people shop for it.
    """
    by_day = np.zeros(LAST_DAY - FIRST_DAY + 1, np.int32)
    for year in range(2015, 2032):
        for feast in (*feasts(year), date(year, 12, 25)):
            for days_before in range(7):
                _mark(by_day, feast - timedelta(days_before), 1)
    return by_day.astype(bool)


def feasts(year: int) -> tuple[date, ...]:
    """New Year, Easter, Independence Day, Thanksgiving and Christmas."""
    return (
        date(year, 1, 1),
        easter(year),
        date(year, 7, 4),
        _nth(year, 11, _THURSDAY, 4),
        date(year, 12, 25),
    )


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher; Nature, 20 April 1876)."""
    golden, century, rest = year % 19, year // 100, year % 100
    leap = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - century // 4 - leap + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - epact - rest % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def _long_weekends(year: int) -> tuple[date, ...]:
    """The Mondays of Memorial Day and Labor Day."""
    last_may = max(
        day for day in (date(year, 5, number) for number in range(25, 32)) if day.weekday() == 0
    )
    return last_may, _nth(year, 9, _MONDAY, 1)


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta((weekday - first.weekday()) % 7 + 7 * (n - 1))


def _mark(by_day: NDArray[np.int32], day: date, kind: int) -> None:
    place = (day - date(1970, 1, 1)).days - FIRST_DAY
    if 0 <= place < len(by_day):
        by_day[place] = kind
