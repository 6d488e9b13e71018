"""Metrics of all rows together, such as areas under curves, by the influence of each row.

The influence of a row is how much the metric moves when that row weighs a little more (Hampel
1974), added to the metric: the mean of all is the metric, and the spread of their mean its standard
error. For the area under a ROC curve that is the variance of DeLong (1988). So one paired
bootstrap compares all of them, and intervals need no resampling.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from overnight.models.metrics.classification import Z95, share
from overnight.models.metrics.evaluation import Floats, Influences, Joint, Mask, RowMetric, Units
from overnight.store.registry.manifest import Measurement

# Numbers that differ by rounding alone have no spread.
_ROUNDING = 1e-12


def joint(
    metric: str,
    n: int,
    influences: Influences,
    *,
    scale: Literal["share", "positive", "any"],
    better: Literal["higher", "lower"],
    evidence: Callable[[Mask], int] | None = None,
    units: Units | None = None,
) -> RowMetric:
    """A metric of n rows together, by its influences on the rows of a mask.

    Args:
        evidence: how many rows of a mask carry the metric; all of them where it is left out.
        units: [n] rows with the same number belong together.
    """
    counted = evidence or (lambda mask: int(mask.sum()))
    return RowMetric(
        metric,
        influences(np.ones(n, np.bool_)),
        better,
        units=units,
        joint=Joint(influences, scale, counted),
    )


def ratio_influences(values: Floats, weights: Floats) -> Floats:
    """Influences on the ratio of two sums, [n] (Cochran 1977, section 6.4); NaN for 0 / 0."""
    weighed = float(weights.sum())
    if weighed <= 0:
        return np.full(len(values), math.nan)
    ratio = float(values.sum()) / weighed
    return ratio + (values - ratio * weights) * (len(values) / weighed)


def measurement(row: RowMetric, mask: Mask, slice: str = "") -> Measurement:
    """A joint metric on the rows of a mask, with its 95 % interval.

    The interval is normal on the scale of the metric: on the logits of shares, and on logarithms
    of positive numbers, so that it has no end beyond the possible. Where nothing varies it is that
    of Wilson (1927) for a share, and otherwise there is none. NaN where the metric is undefined.
    """
    if row.joint is None:
        raise ValueError(f"{row.metric} is a sum over rows: measure it by `ratio`")
    influences, n = row.joint.influences(mask), row.joint.evidence(mask)
    if not len(influences) or not np.isfinite(influences).all():
        return Measurement(metric=row.metric, slice=slice, value=math.nan, n=n)
    value = float(influences.mean())
    error = _standard_error(influences, None if row.units is None else row.units[mask])
    low, high = _interval(value, error, row.joint.scale, n)
    return Measurement(metric=row.metric, slice=slice, value=value, n=n, low=low, high=high)


def _standard_error(influences: Floats, units: Units | None) -> float:
    apart = influences - influences.mean()
    if units is not None:
        apart = np.bincount(np.unique(units, return_inverse=True)[1], apart)
    groups = len(apart)
    if groups < 2:
        return 0.0
    return float(np.sqrt((apart**2).sum() * groups / (groups - 1)) / len(influences))


def _interval(
    value: float, error: float, scale: Literal["share", "positive", "any"], n: int
) -> tuple[float | None, float | None]:
    if scale == "share" and (error < _ROUNDING or not 0 < value < 1):
        # All alike, which proves no certainty: as many rows would show it by chance.
        ends = share("", np.arange(n) < round(value * n))
        return ends.low, ends.high
    if error < _ROUNDING:
        return None, None
    if scale == "share":
        centre, half = math.log(value / (1 - value)), Z95 * error / (value * (1 - value))
        return _expit(centre - half), _expit(centre + half)
    if scale == "positive":
        factor = math.exp(Z95 * error / value)
        return value / factor, value * factor
    return value - Z95 * error, value + Z95 * error


def _expit(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
