"""Metrics of forecasts with intervals, whole, by slice and row by row."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from overnight.models.examples import Outputs
from overnight.models.metrics.equivalence import Tolerance
from overnight.models.metrics.evaluation import Mask, RowMetric
from overnight.store.registry.manifest import Measurement

Floats = NDArray[np.float64]
_RESAMPLES = 1_999
_UNITS = 10_000
_SEED = 2_026


def interval_rows(
    labels: Floats, answered: Floats, baselines: Mapping[str, Floats]
) -> tuple[RowMetric, ...]:
    """Error and interval coverage of forecasts, and the error of baselines, row by row.

    `wape` is the weighted absolute percentage error: absolute errors over absolute truths.

    Args:
        labels: [n] true values.
        answered: [n, 3] low end, forecast, and high end.
        baselines: forecasts of trivial rules, [n] by name; each becomes `<name>_wape`.
    """
    inside = (answered[:, 0] <= labels) & (labels <= answered[:, 2])
    truth = np.abs(labels)
    return (
        RowMetric("wape", np.abs(labels - answered[:, 1]), "lower", truth),
        RowMetric("interval_coverage", inside.astype(np.float64), "higher"),
        *(
            RowMetric(f"{name}_wape", np.abs(labels - guessed), "lower", truth)
            for name, guessed in baselines.items()
        ),
    )


def intervals(
    labels: Floats,
    answered: Floats,
    baselines: Mapping[str, Floats],
    slices: Mapping[str, Mask],
) -> tuple[Measurement, ...]:
    """The same as measurements with intervals, whole and by slice, and R² on the whole."""
    measurements = []
    for row in interval_rows(labels, answered, baselines):
        measurements.append(ratio(row))
        measurements += [ratio(row, mask, name) for name, mask in slices.items()]
    return (*measurements, r2(labels, answered[:, 1]))


def ratio(row: RowMetric, mask: Mask | None = None, slice: str = "") -> Measurement:
    """A metric on the rows of a mask, with a percentile bootstrap interval over units (Efron 1979).

    NaN for no rows, or when all weights are 0.
    """
    chosen = np.ones(len(row.values), np.bool_) if mask is None else mask
    values = row.values[chosen]
    weights = np.ones(len(values)) if row.weights is None else row.weights[chosen]
    if not len(values) or weights.sum() <= 0:
        return Measurement(metric=row.metric, slice=slice, value=math.nan, n=len(values))
    low, high = resampled(values, weights, None if row.units is None else row.units[chosen])
    value = float(values.sum() / weights.sum())
    return Measurement(
        metric=row.metric, slice=slice, value=value, n=len(values), low=low, high=high
    )


def resampled(
    values: Floats, weights: Floats, units: NDArray[np.integer] | None
) -> tuple[float, float]:
    """The 95 % bootstrap interval of a ratio of sums over units (or rows), from a fixed seed."""
    places = np.arange(len(values)) if units is None else np.unique(units, return_inverse=True)[1]
    if places.max() >= _UNITS:
        # Units are pooled at random: little precision is lost, and much time saved.
        pools = np.random.default_rng(_SEED).permutation(places.max() + 1) % _UNITS
        places = pools[places]
    above, below = np.bincount(places, values), np.bincount(places, weights)
    draws = np.random.default_rng(_SEED)
    ratios = []
    # One draw at a time: all at once would take 16 kB of memory for each unit.
    for _ in range(_RESAMPLES):
        drawn = draws.integers(0, len(above), len(above))
        # A draw whose weights are all 0 has no ratio.
        if (weighed := below[drawn].sum()) > 0:
            ratios.append(above[drawn].sum() / weighed)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def r2(labels: Floats, answered: Floats) -> Measurement:
    """The share of the labels' variance that the forecasts explain; NaN when there is none."""
    spread = float(((labels - labels.mean()) ** 2).sum()) if len(labels) else 0.0
    value = 1 - float(((labels - answered) ** 2).sum()) / spread if spread > 0 else math.nan
    return Measurement(metric="r2", value=value, n=len(labels))


def within_tolerance(first: Outputs, second: Outputs, *, output: str, tolerance: Tolerance) -> Mask:
    """Where all numbers of an output of the second are within tolerance of the first's, [n]."""
    expected, actual = (np.asarray(answers[output], np.float64) for answers in (first, second))
    beyond = np.abs(actual - expected) - (
        tolerance.absolute + tolerance.relative * np.abs(expected)
    )
    close: Mask = beyond.max(axis=1) <= 0
    return close
