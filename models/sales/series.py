"""From rows to examples: inputs as known at a forecast's cut-off, with its day's sales as label.

A series is the daily sales of one department in one store. Each of its days is one example, with a
pseudo-random lead that never changes; its input is the 56 days up to the cut-off, which are final
by then.

A day of which hardly a row arrived is unknown, not a day without sales, and makes no examples.
"""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.examples import Examples
from overnight.models.sales.arrival_schedule import mixed
from overnight.models.sales.holidays import FIRST_DAY, LAST_DAY, holiday_weeks
from overnight.models.sales.known_days import closed, counted_rows, impute, known_days
from overnight.models.sales.schema import (
    DEPARTMENTS,
    GAP_DAYS,
    HORIZON_DAYS,
    LONGEST_LEAD,
    PERISHABLE,
    RECENT_DAYS,
    SHORTEST_LEAD,
    STORES,
)

# The newest days of a snapshot are the holdout; those of the gap are not final, and not judged.
JUDGED_DAYS = 28
HELD_DAYS = JUDGED_DAYS + GAP_DAYS
# A pair of store and department outside the vocabularies is a series if it sells on this share of
# days.
_OFTEN = 0.5
SIZES = ("small stores", "middle stores", "large stores")
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Panel:
    """Daily sums: `units` [series, days] from the day `first` on, with `store` and `department`.

    `codes` [series, 2] are the vocabulary codes of both, `size` [series] is the third of the stores
    by sales (0 to 2) that the store is in. `unknown` are the days whose sales are missing: their
    `units` are imputed from the same weekday before, as a client would have to do.
    """

    first: int
    units: NDArray[np.float32]
    store: NDArray[np.int64]
    department: NDArray[np.object_]
    codes: Ints
    size: Ints
    unknown: Ints

    @property
    def last(self) -> int:
        return self.first + int(self.units.shape[1]) - 1


def panel(rows: pa.Table, like: pa.Table | None = None) -> Panel:
    """The daily sums of every series; `like`, or else `rows`, determines the series and sizes.

    It begins and ends with a known day.

    Raises:
        ValueError: no day is known.
    """
    reference = rows if like is None else like
    known = known_days(rows)
    first, last = int(known[0]), int(known[-1])
    summed = _daily_sums(rows)
    summed = summed.filter(
        pc.and_(pc.greater_equal(summed["day"], first), pc.less_equal(summed["day"], last))
    )
    store = summed["store"].to_numpy().astype(np.int64)
    department = summed["department"].to_numpy(zero_copy_only=False)
    chosen = _series(summed if like is None else _daily_sums(reference))
    places = {pair: place for place, pair in enumerate(chosen)}
    pairs = zip(store.tolist(), department.tolist(), strict=True)
    place = np.array([places.get(pair, -1) for pair in pairs], np.int64)
    units = np.zeros((len(chosen), last - first + 1), np.float32)
    kept = place >= 0
    units[place[kept], summed["day"].to_numpy()[kept] - first] = summed["units_sum"].to_numpy()[
        kept
    ]
    stores = np.array([pair[0] for pair in chosen], np.int64)
    departments = np.array([pair[1] for pair in chosen], object)
    unknown = np.setdiff1d(np.arange(first, last + 1, dtype=np.int32), known)
    unknown = unknown[~closed(unknown)]
    impute(units, unknown - first, known - first)
    codes, sizes = vocabulary_codes(stores, departments), _sizes(stores, reference)
    return Panel(first, units, stores, departments, codes, sizes, unknown)


def vocabulary_codes(stores: NDArray[np.int64], departments: NDArray[np.object_]) -> Ints:
    """The vocabulary codes of stores and departments, [n, 2]; 0 for those outside."""
    of_store = {name: place for place, name in enumerate(STORES, 1)}
    of_department = {name: place for place, name in enumerate(DEPARTMENTS, 1)}
    first = [of_store.get(int(store), 0) for store in stores]
    second = [of_department.get(name, 0) for name in departments]
    return np.array([first, second], np.int32).reshape(2, -1).T


def training_examples(rows: pa.Table) -> Examples:
    """Every day of every series that has 56 days of history at the longest lead.

    Raises:
        ValueError: the rows span fewer days than one example needs.
    """
    sums = panel(rows)
    start = sums.first + RECENT_DAYS + LONGEST_LEAD - 1
    if start > sums.last:
        raise ValueError(
            f"sales of {sums.units.shape[1]} days; an example needs {RECENT_DAYS + LONGEST_LEAD}"
        )
    return examples_of_days(sums, start, sums.last)


def holdout_examples(before: pa.Table, rows: pa.Table) -> Examples:
    """The final days of `rows`, with inputs as known then; series as in `before`."""
    if not rows.num_rows:
        return _no_examples()
    sums = panel(pa.concat_tables([before, rows]), like=before)
    return examples_of_days(sums, int(pc.min(rows["day"]).as_py()), sums.last - GAP_DAYS)


def arrival_examples(before: pa.Table, rows: pa.Table) -> Examples:
    """The days that an arrival makes final: all up to three before its newest known day."""
    if not before.num_rows or not rows.num_rows:
        return _no_examples()
    was = int(known_days(before)[-1])
    sums = panel(pa.concat_tables([before, rows]), like=before)
    return examples_of_days(sums, max(was - GAP_DAYS + 1, sums.first), sums.last - GAP_DAYS)


def examples_of_days(sums: Panel, start: int, end: int) -> Examples:
    """Examples of each known day from `start` to `end` of each series with enough history."""
    start = max(start, sums.first + RECENT_DAYS + LONGEST_LEAD - 1, FIRST_DAY)
    days = np.arange(start, min(end, LAST_DAY) + 1, dtype=np.int32)
    days = days[~np.isin(days, sums.unknown)]
    series = np.repeat(np.arange(len(sums.store), dtype=np.int64), len(days))
    day = np.tile(days, len(sums.store))
    if not len(day):
        return _no_examples()
    lead = leads(sums, series, day)
    # A view: only the chosen windows are copied.
    windows = np.lib.stride_tricks.sliding_window_view(sums.units, RECENT_DAYS, axis=1)
    recent = windows[series, day - lead - sums.first - RECENT_DAYS + 1]
    return _examples(sums, series, day, lead, np.ascontiguousarray(recent))


def leads(sums: Panel, series: NDArray[np.int64], day: Ints) -> Ints:
    """The lead of each example in days, pseudo-random from its store, department and day alone."""
    # crc32, because `hash` differs from process to process; the factors are primes.
    names = np.array([crc32(str(name).encode()) for name in sums.department], np.int64)
    key = (sums.store * 1_000_003 + names)[series] * 40_009 + day
    drawn = np.minimum((mixed(key, 2) * HORIZON_DAYS).astype(np.int32), HORIZON_DAYS - 1)
    lead_days: Ints = SHORTEST_LEAD + drawn
    return lead_days


def _examples(
    sums: Panel, series: NDArray[np.int64], day: Ints, lead: Ints, recent: NDArray[np.float32]
) -> Examples:
    department, size = sums.department[series], sums.size[series]
    slices = {name: department == name for name in DEPARTMENTS}
    slices |= {name: size == place for place, name in enumerate(SIZES)}
    slices |= {
        "perishable": np.isin(department.astype(str), PERISHABLE),
        "holiday weeks": holiday_weeks()[day - FIRST_DAY],
    }
    codes = sums.codes[series]
    return Examples(
        inputs={
            "store": np.ascontiguousarray(codes[:, 0]),
            "department": np.ascontiguousarray(codes[:, 1]),
            "day": day.astype(np.int32),
            "lead_days": lead,
            "recent": recent,
        },
        labels=sums.units[series, day - sums.first],
        slices=slices,
    )


def _no_examples() -> Examples:
    empty = Panel(
        FIRST_DAY,
        np.zeros((0, RECENT_DAYS), np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, object),
        np.zeros((0, 2), np.int32),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
    )
    none = np.zeros(0, np.int32)
    return _examples(
        empty, none.astype(np.int64), none, none, np.zeros((0, RECENT_DAYS), np.float32)
    )


def _daily_sums(rows: pa.Table) -> pa.Table:
    return (
        counted_rows(rows)
        .select(["store", "department", "day", "units"])
        .group_by(["store", "department", "day"], use_threads=False)
        .aggregate([("units", "sum")])
    )


def _series(summed: pa.Table) -> list[tuple[int, str]]:
    """The pairs that are series, sorted: all of the vocabularies, others when they sell often."""
    days = int(pc.max(summed["day"]).as_py()) - int(pc.min(summed["day"]).as_py()) + 1
    counts = summed.group_by(["store", "department"], use_threads=False).aggregate(
        [("day", "count")]
    )
    return sorted(
        (pair["store"], pair["department"])
        for pair in counts.to_pylist()
        if (pair["store"] in STORES and pair["department"] in DEPARTMENTS)
        or pair["day_count"] >= _OFTEN * days
    )


def _sizes(stores: NDArray[np.int64], rows: pa.Table) -> Ints:
    """The third of the stores with series that each is in, by pieces sold: 0, 1 or 2."""
    summed = rows.group_by("store", use_threads=False).aggregate([("units", "sum")])
    sold = dict(zip(summed["store"].to_pylist(), summed["units_sum"].to_pylist(), strict=True))
    ordered = sorted(set(stores.tolist()), key=lambda store: (sold.get(store, 0.0), store))
    third = {store: place * len(SIZES) // len(ordered) for place, store in enumerate(ordered)}
    return np.array([third[store] for store in stores.tolist()], np.int32)
