"""The truth of forecasts that were answered, as nightly arrivals bring it."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from overnight.models.examples import Array
from overnight.models.sales.known_days import known_days
from overnight.models.sales.schema import GAP_DAYS
from overnight.models.sales.series import Panel, panel
from overnight.models.watching import ArrivedTruths


def arrived_truths(inputs: Mapping[str, Array], before: pa.Table, rows: pa.Table) -> ArrivedTruths:
    """The sales on the days that an arrival makes final, as in `arrival_examples`.

    Of n answers, of which stores and departments have their names. A forecast of other stores or
    departments stands for many, whose sales nobody asked for: its truth is never known.
    """
    day = inputs["day"].astype(np.int64)
    if not before.num_rows or not rows.num_rows or not len(day):
        return ArrivedTruths(np.zeros(len(day), np.bool_), {"units": np.zeros(len(day))})
    was = int(known_days(before)[-1])
    sums = panel(pa.concat_tables([before, rows]), like=before)
    first, last = max(was - GAP_DAYS + 1, sums.first), sums.last - GAP_DAYS
    series = _series(sums, inputs)
    known = (series >= 0) & (day >= first) & (day <= last) & ~np.isin(day, sums.unknown)
    units = np.zeros(len(day), np.float32)
    units[known] = sums.units[series[known], day[known] - sums.first]
    return ArrivedTruths(known, {"units": units})


def _series(sums: Panel, inputs: Mapping[str, Array]) -> NDArray[np.int64]:
    """The place of each answer's series among the sums, or -1."""
    pairs = zip(sums.store.tolist(), sums.department.tolist(), strict=True)
    places = {
        (str(store), str(department)): place for place, (store, department) in enumerate(pairs)
    }
    requested = zip(inputs["store"].tolist(), inputs["department"].tolist(), strict=True)
    named = ((str(store), str(department)) for store, department in requested)
    return np.array([places.get(pair, -1) for pair in named], np.int64)
