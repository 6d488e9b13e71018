"""What is measured of a forecast, with intervals, whole and by slice; and row by row.

Days are drawn, not rows: what one day brings unexpectedly, it brings to all its rows.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.definition import Examples, Outputs
from models.evaluation import RowMetric
from models.sales.schema import DEPARTMENT, PERISHABLE, RECENT_DAYS
from store.manifest import Measurement

PERISHABLE_WEIGHT = 1.25
_MEAN_DAYS = 28
_RESAMPLES = 1_999
_SEED = 2_026
Floats = NDArray[np.float64]


def seasonal_naive(examples: Examples) -> Floats:
    """What was sold on the same weekday of the newest week that is known: [n]."""
    lead = examples.inputs["lead_days"].astype(np.int64)
    back = -(-lead // 7) * 7 - lead
    recent = examples.inputs["recent"]
    found: Floats = recent[np.arange(examples.n), RECENT_DAYS - 1 - back].astype(np.float64)
    return found


def mean_of_28_days(examples: Examples) -> Floats:
    """What was sold a day on average of the 28 days up to the cut-off: [n]."""
    found: Floats = examples.inputs["recent"][:, -_MEAN_DAYS:].astype(np.float64).mean(axis=1)
    return found


def per_row(examples: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
    """Every metric that is a ratio of sums, row by row; the units are days.

    `wape` is the weighted absolute percentage error: absolute errors over what was sold, in pieces.
    `squared_log_error` is the square of NWRMSLE (as in the Favorita competition of 2018), the
    perishable departments weighing 1.25. Days on which more came back than was sold count as 0.
    """
    sold = np.maximum(examples.labels.astype(np.float64), 0.0)
    units = np.asarray(outputs["units"], np.float64)
    days = examples.inputs["day"].astype(np.int64)
    weight = _weights(examples)

    inside, one = in_interval(examples, outputs), np.ones(examples.n)

    def ratio(metric: str, values: Floats, weights: Floats, *, higher: bool = False) -> RowMetric:
        return RowMetric(metric, values, "higher" if higher else "lower", weights, days)

    return (
        ratio("wape", np.abs(sold - units[:, 1]), sold),
        ratio("squared_log_error", weight * _log_error(sold, units[:, 1]) ** 2, weight),
        ratio("interval_coverage", inside.astype(float), one, higher=True),
        ratio("seasonal_naive_wape", np.abs(sold - seasonal_naive(examples)), sold),
        ratio("mean_28_wape", np.abs(sold - mean_of_28_days(examples)), sold),
    )


def measured(examples: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    """WAPE and coverage with intervals, whole and by slice; NWRMSLE, R² and both yardsticks."""
    rows = {row.metric: row for row in per_row(examples, outputs)}
    found = [
        *_by_slice(examples, rows["wape"]),
        *_by_slice(examples, rows["interval_coverage"]),
        _nwrmsle(rows["squared_log_error"]),
        _whole(rows["seasonal_naive_wape"]),
        _whole(rows["mean_28_wape"]),
        _r2(examples, outputs),
    ]
    return tuple(found)


def in_interval(examples: Examples, outputs: Outputs) -> NDArray[np.bool_]:
    """Which rows' truth lies between the outer quantiles in whole pieces, rounded outwards: [n]."""
    units = np.asarray(outputs["units"], np.float64)
    low, high = np.floor(units[:, 0]), np.ceil(units[:, 2])
    # More than was sold can come back; that is as little as none.
    sold = np.maximum(examples.labels, 0)
    inside: NDArray[np.bool_] = (low <= sold) & (sold <= high)
    return inside


def _weights(examples: Examples) -> Floats:
    codes = [DEPARTMENT.vocabulary.index(name) for name in PERISHABLE]
    perishable = np.isin(examples.inputs["department"], codes)
    return np.where(perishable, PERISHABLE_WEIGHT, 1.0)


def _log_error(sold: Floats, forecast: Floats) -> Floats:
    error: Floats = np.log1p(np.maximum(forecast, 0.0)) - np.log1p(np.maximum(sold, 0.0))
    return error


def _by_slice(examples: Examples, row: RowMetric) -> Iterator[Measurement]:
    yield _whole(row)
    for name, mask in examples.slices.items():
        yield _ratio(row, mask, name)


def _whole(row: RowMetric) -> Measurement:
    return _ratio(row, np.ones(len(row.values), bool), "")


def _ratio(row: RowMetric, mask: NDArray[np.bool_], slice: str) -> Measurement:
    """A ratio of sums on some rows, with the percentile interval over days drawn anew."""
    values, weights = row.values[mask], np.ones(int(mask.sum()))
    weights = weights if row.weights is None else row.weights[mask]
    n = len(values)
    if not n or weights.sum() <= 0:
        return Measurement(metric=row.metric, slice=slice, value=math.nan, n=n)
    low, high = interval(values, weights, row.units[mask] if row.units is not None else None)
    return Measurement(
        metric=row.metric,
        slice=slice,
        value=float(values.sum() / weights.sum()),
        n=n,
        low=low,
        high=high,
    )


def interval(
    values: Floats, weights: Floats, days: NDArray[np.integer] | None
) -> tuple[float, float]:
    """95 % of the ratios of sums when the days are drawn anew (Efron 1979), from a fixed seed."""
    places = np.arange(len(values)) if days is None else np.unique(days, return_inverse=True)[1]
    above = np.bincount(places, values)
    below = np.bincount(places, weights)
    drawn = np.random.default_rng(_SEED).integers(0, len(above), (_RESAMPLES, len(above)))
    sums = below[drawn].sum(axis=1)
    ratios = above[drawn].sum(axis=1)[sums > 0] / sums[sums > 0]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def _nwrmsle(row: RowMetric) -> Measurement:
    squared = _whole(row)
    ends = (squared.value, squared.low, squared.high)
    value, low, high = (math.nan if one is None else math.sqrt(one) for one in ends)
    return Measurement(metric="nwrmsle", value=value, n=squared.n, low=low, high=high)


def _r2(examples: Examples, outputs: Outputs) -> Measurement:
    """The share of the variance that the median explains; it is no mean, so a little is lost."""
    sold = examples.labels.astype(np.float64)
    rest = sold - np.asarray(outputs["units"], np.float64)[:, 1]
    spread = float(((sold - sold.mean()) ** 2).sum()) if len(sold) else 0.0
    value = 1 - float((rest**2).sum()) / spread if spread > 0 else math.nan
    return Measurement(metric="r2", value=value, n=len(sold))
