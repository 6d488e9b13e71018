"""Metrics of the sales forecast, with intervals, whole and by slice; and row by row.

Bootstrap draws are of days, not rows: the errors of one day are correlated over all its rows.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.evaluation import RowMetric
from overnight.models.metrics.regression import r2, ratio
from overnight.models.sales.schema import DEPARTMENT, PERISHABLE, RECENT_DAYS
from overnight.store.registry.manifest import Measurement

PERISHABLE_WEIGHT = 1.25
_MEAN_DAYS = 28
Floats = NDArray[np.float64]


def seasonal_naive(examples: Examples) -> Floats:
    """Baseline: the sales of the same weekday in the newest known week, [n]."""
    lead = examples.inputs["lead_days"].astype(np.int64)
    back = -(-lead // 7) * 7 - lead
    recent = examples.inputs["recent"]
    forecast: Floats = recent[np.arange(examples.n), RECENT_DAYS - 1 - back].astype(np.float64)
    return forecast


def mean_of_28_days(examples: Examples) -> Floats:
    """Baseline: mean daily sales of the 28 days up to the cut-off, [n]."""
    forecast: Floats = examples.inputs["recent"][:, -_MEAN_DAYS:].astype(np.float64).mean(axis=1)
    return forecast


def per_row(examples: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
    """Every metric that is a ratio of sums, row by row; the units are days.

    `wape` is the weighted absolute percentage error: absolute errors over what was sold, in pieces.
    `squared_log_error` is the square of NWRMSLE (as in the Favorita competition of 2018), the
    perishable departments of the vocabulary weighing 1.25. Days with more
    returns than sales count as 0.
    """
    sold = np.maximum(examples.labels_of().astype(np.float64), 0.0)
    units = np.asarray(outputs["units"], np.float64)
    days = examples.inputs["day"].astype(np.int64)
    weight = _weights(examples)

    inside, ones = in_interval(examples, outputs), np.ones(examples.n)

    def row_metric(
        metric: str, values: Floats, weights: Floats, *, higher: bool = False
    ) -> RowMetric:
        return RowMetric(metric, values, "higher" if higher else "lower", weights, days)

    return (
        row_metric("wape", np.abs(sold - units[:, 1]), sold),
        row_metric("squared_log_error", weight * _log_error(sold, units[:, 1]) ** 2, weight),
        row_metric("interval_coverage", inside.astype(float), ones, higher=True),
        row_metric("seasonal_naive_wape", np.abs(sold - seasonal_naive(examples)), sold),
        row_metric("mean_28_wape", np.abs(sold - mean_of_28_days(examples)), sold),
    )


def measure(examples: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    """WAPE and coverage with intervals, whole and by slice; NWRMSLE, R² and both baselines."""
    rows = {row.metric: row for row in per_row(examples, outputs)}
    measurements = [
        *_by_slice(examples, rows["wape"]),
        *_by_slice(examples, rows["interval_coverage"]),
        _nwrmsle(rows["squared_log_error"]),
        ratio(rows["seasonal_naive_wape"]),
        ratio(rows["mean_28_wape"]),
        # Of the median, not the mean, so R² is a little below its possible maximum.
        r2(
            examples.labels_of().astype(np.float64),
            np.asarray(outputs["units"], np.float64)[:, 1],
        ),
    ]
    return tuple(measurements)


def in_interval(examples: Examples, outputs: Outputs) -> NDArray[np.bool_]:
    """Which rows' sales lie within P10 to P90, rounded outwards to whole pieces: [n]."""
    units = np.asarray(outputs["units"], np.float64)
    low, high = np.floor(units[:, 0]), np.ceil(units[:, 2])
    # Returns can exceed sales; the network forecasts such days as 0.
    sold = np.maximum(examples.labels_of(), 0)
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
    yield ratio(row)
    for name, mask in examples.slices.items():
        yield ratio(row, mask, name)


def _nwrmsle(row: RowMetric) -> Measurement:
    squared = ratio(row)
    ends = (squared.value, squared.low, squared.high)
    value, low, high = (math.nan if end is None else math.sqrt(end) for end in ends)
    return Measurement(metric="nwrmsle", value=value, n=squared.n, low=low, high=high)
