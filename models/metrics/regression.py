"""Metrics of answers that are numbers with an interval around them, whole, by slice and by row."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from overnight.models.metrics.evaluation import Mask, RowMetric
from overnight.store.registry.manifest import Measurement

Floats = NDArray[np.float64]
_RESAMPLES = 1_999
_SEED = 2_026


def interval_rows(
    labels: Floats, answered: Floats, baselines: Mapping[str, Floats]
) -> tuple[RowMetric, ...]:
    """The error and the coverage of intervals, and the error of trivial rules, row by row.

    `wape` is the weighted absolute percentage error: absolute errors over absolute truths.

    Args:
        labels: [n] what came true.
        answered: [n, 3] the low end, the answer itself, and the high end.
        baselines: what trivial rules would have answered, [n] by name; each is told as
            `<name>_wape`.
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
    found = []
    for row in interval_rows(labels, answered, baselines):
        found.append(ratio(row))
        found += [ratio(row, mask, name) for name, mask in slices.items()]
    return (*found, r2(labels, answered[:, 1]))


def ratio(row: RowMetric, mask: Mask | None = None, slice: str = "") -> Measurement:
    """A metric on some rows, with a percentile interval over units drawn anew (Efron 1979).

    NaN for no rows, or when nothing is weighed.
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
    """95 % of the ratios of sums when whole units (or rows) are drawn anew, from a fixed seed."""
    places = np.arange(len(values)) if units is None else np.unique(units, return_inverse=True)[1]
    above, below = np.bincount(places, values), np.bincount(places, weights)
    draws = np.random.default_rng(_SEED)
    ratios = []
    # One draw after the other: all at once they would take 16 kB for each unit.
    for _ in range(_RESAMPLES):
        drawn = draws.integers(0, len(above), len(above))
        if (weighed := below[drawn].sum()) > 0:
            ratios.append(above[drawn].sum() / weighed)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def r2(labels: Floats, answered: Floats) -> Measurement:
    """The share of the truths' variance that the answers explain; NaN when there is none."""
    spread = float(((labels - labels.mean()) ** 2).sum()) if len(labels) else 0.0
    value = 1 - float(((labels - answered) ** 2).sum()) / spread if spread > 0 else math.nan
    return Measurement(metric="r2", value=value, n=len(labels))


def near(
    first: Mapping[str, NDArray[np.generic]],
    second: Mapping[str, NDArray[np.generic]],
    *,
    output: str,
    apart: float,
    share: float,
) -> Mask:
    """Where no number of the second is further from the first's than is allowed, [n].

    That is `apart`, and besides a `share` of the first's number.
    """
    expected, found = (np.asarray(answers[output], np.float64) for answers in (first, second))
    beyond = np.abs(found - expected) - (apart + share * np.abs(expected))
    close: Mask = beyond.max(axis=1) <= 0
    return close
