"""Astray: days that lie so far from all others that they can only be a mistake.

One row of a wrong year would move the window of a forecast: what is learned, and what judges.
"""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.data_gates.declaration import DataGates
from overnight.models.moving_holdout import DAY
from overnight.store.datasets.delta_table import Dataset
from overnight.store.registry.manifest import Finding

Days = NDArray[np.int64]


def days_of(rows: pa.Table, gates: DataGates) -> Days:
    """The day of each row, none where nothing is declared of days."""
    if gates.outlier_days is None or DAY not in rows.column_names:
        return np.empty(0, np.int64)
    return np.asarray(pc.drop_null(rows.column(DAY)).to_numpy(), np.int64)


def outlier_days(
    days: Days, rows: Dataset, gates: DataGates, arrival: str, *, left_out: Collection[str]
) -> tuple[Finding, ...]:
    """What stands against the days of an arrival, naming it.

    They are held against those of the dataset but for the arrivals `left_out`, or before the first
    against the day of which most rows came. What is in between is never astray.
    """
    if gates.outlier_days is None or not len(days):
        return ()
    first, last = _known(rows, left_out) or _usual(days)
    after = _beyond(days, last, gates.outlier_days)
    before = -_beyond(-days, -first, gates.outlier_days)
    found = np.concatenate([before, after])
    if not len(found):
        return ()
    told = ", ".join(str(np.datetime64(int(day), "D")) for day in np.unique(found)[:3])
    message = (
        f"{DAY}: {len(found):,} of {len(days):,} rows are of days more than {gates.outlier_days} "
        f"days from all others ({told}), and the others are of {_text(first)} to {_text(last)}; "
        "mend them, or raise `outlier_days` of the model's data gates, and land the files again"
    )
    return (
        Finding(
            gate="days together",
            metric=DAY,
            slice=arrival,
            passed=False,
            message=message,
            value=len(found),
            bound=0,
            n=len(days),
        ),
    )


def _beyond(days: Days, last: int, apart: int) -> Days:
    """The rows later than a day from which no chain of days leads to them."""
    later = np.unique(days[days > last])
    gaps = np.flatnonzero(np.diff(later, prepend=last) > apart)
    return days[days >= later[gaps[0]]] if len(gaps) else days[:0]


def _usual(days: Days) -> tuple[int, int]:
    found, counts = np.unique(days, return_counts=True)
    day = int(found[counts.argmax()])
    return day, day


def _known(rows: Dataset, left_out: Collection[str]) -> tuple[int, int] | None:
    """The first and the last day of the dataset; None while it has no row."""
    if rows.version() is None:
        return None
    table = rows.read(columns=[DAY, "arrival"])
    wrong = pc.is_in(table.column("arrival"), pa.array(sorted(left_out), pa.string()))
    ends = pc.min_max(table.filter(pc.invert(wrong)).column(DAY)).as_py()
    return None if ends["min"] is None else (ends["min"], ends["max"])


def _text(day: int) -> str:
    return str(np.datetime64(day, "D"))
