"""Refuses arrivals with outlier dates: days so far from all others that they must be mistakes.

One row of a wrong year would move the training window and the holdout of a forecast.
"""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.data_gates.declaration import DataGates
from overnight.models.moving_holdout import DAY, day_column
from overnight.store.datasets.delta_table import Dataset
from overnight.store.registry.manifest import Finding

Days = NDArray[np.int64]


def days_of(rows: pa.Table, gates: DataGates) -> Days:
    """The day of each row; empty if the model declares no `outlier_days`."""
    if gates.outlier_days is None or DAY not in rows.column_names:
        return np.empty(0, np.int64)
    return np.asarray(pc.drop_null(day_column(rows)).to_numpy(), np.int64)


def outlier_days(
    days: Days, rows: Dataset, gates: DataGates, arrival: str, *, excluded: Collection[str]
) -> tuple[Finding, ...]:
    """The failed finding on the days of an arrival, if any.

    They are compared with the days of the dataset without the arrivals `excluded`, or, if it is
    empty, with the arrival's most frequent day. Days within that range are never outliers.
    """
    if gates.outlier_days is None or not len(days):
        return ()
    first, last = _day_range(rows, excluded) or _most_frequent_day(days)
    after = _rows_beyond_gap(days, last, gates.outlier_days)
    # The same rule backwards in time, on negated days.
    before = -_rows_beyond_gap(-days, -first, gates.outlier_days)
    outliers = np.concatenate([before, after])
    if not len(outliers):
        return ()
    examples = ", ".join(str(np.datetime64(int(day), "D")) for day in np.unique(outliers)[:3])
    message = (
        f"{DAY}: {len(outliers):,} of {len(days):,} rows are more than {gates.outlier_days} "
        f"days from all others ({examples}), and the others are of {_iso(first)} to {_iso(last)}; "
        "mend them, or raise `outlier_days` of the model's data gates, and land the files again"
    )
    return (
        Finding(
            gate="days together",
            metric=DAY,
            slice=arrival,
            passed=False,
            message=message,
            value=len(outliers),
            bound=0,
            direction="at most",
            n=len(days),
        ),
    )


def _rows_beyond_gap(days: Days, last: int, apart_days: int) -> Days:
    """The rows after the first gap of more than `apart_days` days that follows `last`."""
    later = np.unique(days[days > last])
    # Between neighbouring days, so a long series of new days is no outlier.
    gaps = np.flatnonzero(np.diff(later, prepend=last) > apart_days)
    return days[days >= later[gaps[0]]] if len(gaps) else days[:0]


def _most_frequent_day(days: Days) -> tuple[int, int]:
    distinct, counts = np.unique(days, return_counts=True)
    day = int(distinct[counts.argmax()])
    return day, day


def _day_range(rows: Dataset, excluded: Collection[str]) -> tuple[int, int] | None:
    """The first and last day of the dataset; None if it has no row."""
    if rows.version() is None:
        return None
    table = rows.read(columns=[DAY, "arrival"])
    is_excluded = pc.is_in(table.column("arrival"), pa.array(sorted(excluded), pa.string()))
    ends = pc.min_max(day_column(table.filter(pc.invert(is_excluded)))).as_py()
    return None if ends["min"] is None else (ends["min"], ends["max"])


def _iso(day: int) -> str:
    return str(np.datetime64(day, "D"))
