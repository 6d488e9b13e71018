"""How far a day's inputs, answers and confidence are from a reference, with p- and e-values.

The distance is that of Hellinger between shares (0 for equal ones, 1 for none in common), of the
bins or categories of one feature. Its square, times 8 and the rows, is nearly chi-squared, as roots
of shares have nearly equal variance wherever they are (Freeman and Tukey 1950). Since it is a
metric, "nothing changed" can be taken for what it means in practice: at most `smallest` from the
reference, what the reference's own chance adds, and how far days are apart by themselves. The
p-value is for that, by the noncentral chi-square distribution: so however many rows there are, a
change too small to matter is none, and days that are compared with one reference are independent.

`smallest` = 0.05 is about a seventh of a standard deviation, or 10 % of rows that become 14.5 %.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.models.definition import ModelDefinition
from overnight.models.metrics.evaluation import Floats
from overnight.models.reference import FeatureSummary, Reference, summary_of
from overnight.models.watched_features import WatchedFeature, answer_features, input_features
from overnight.store.registry.monitoring import AlarmKind, LiveDistance

Array = NDArray[Any]
SMALLEST = 0.05
# Of a day: with fewer, roots of counts are no normal numbers yet.
LEAST_ROWS = 50
# Cells with fewer rows to be expected are counted together: with them p-values are uniform to a
# thousandth, which Cochran's rule of five (1954) does not give with many cells.
_EXPECTED = 8.0
# Of the reference's own chance, what is allowed for.
_REFERENCE_CONFIDENCE = 0.95
# Smaller ones are rounding; so is the e-value bounded.
_LEAST_P = 1e-15


@dataclass(frozen=True)
class Apart:
    """A Hellinger distance without what chance adds to it, and the p-value of a smaller one."""

    distance: float
    p: float


def distances(
    reference: Reference,
    definition: ModelDefinition,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    *,
    smallest: float = SMALLEST,
    least_rows: int = LEAST_ROWS,
) -> tuple[LiveDistance, ...]:
    """The distance of each feature of the reference from a day's n rows: drift.

    Either may be empty, where it is not recorded. Features with fewer than `least_rows` rows have a
    distance, and no p- and e-value.
    """
    live = _features(definition, inputs, outputs)
    measured = []
    for summary in reference.features:
        feature = live.get((summary.kind, summary.name))
        if feature is None or feature.is_categorical != summary.is_categorical:
            continue
        counts = summary.counted(feature.values)
        bound = smallest + summary.usual
        apart = apart_from_reference(counts, summary.all_counts, smallest=bound)
        measured.append(_live(summary.kind, summary, "training", apart, counts, least_rows))
    return tuple(measured)


def skews(
    definition: ModelDefinition,
    training: Mapping[str, Array],
    serving: Mapping[str, Array],
    *,
    smallest: float = SMALLEST,
    least_rows: int = LEAST_ROWS,
) -> tuple[LiveDistance, ...]:
    """The distance of serving's inputs from those that training reads of the same day: skew.

    Both are samples of one day, so the world's drift is in both, and a difference is one of the two
    ways that a value takes: a unit, a default, an encoding.
    """
    read = {feature.name: feature for feature in input_features(definition, training)}
    measured = []
    for feature in input_features(definition, serving):
        other = read.get(feature.name)
        if other is None or other.is_categorical != feature.is_categorical:
            continue
        both = np.concatenate((other.values, feature.values))
        summary = summary_of(WatchedFeature("inputs", feature.name, both, feature.borders))
        counts, expected = summary.counted(feature.values), summary.counted(other.values)
        apart = apart_from_sample(counts, expected, smallest=smallest)
        fewer = min(counts.sum(), expected.sum())
        least = least_rows if fewer >= least_rows else int(counts.sum()) + 1
        measured.append(_live("skew", summary, "today", apart, counts, least))
    return tuple(measured)


def apart_from_reference(counts: Array, reference: Array, *, smallest: float) -> Apart:
    """Of a day's counts from those of a fixed reference, which is compared with day after day.

    The reference's own chance is allowed for by the 95 % quantile of the distance that something at
    `smallest` has from a reference of so many rows. That makes the p-value valid for each day with
    the reference as it is, for nineteen references in twenty.
    """
    day, known = _pooled(np.asarray(counts, float), np.asarray(reference, float))
    if len(day) < 2 or not day.sum() or not known.sum():
        return Apart(0.0, 1.0)
    return _apart(day, known, day.sum(), _allowed(smallest, len(day) - 1, 8 * known.sum()))


def apart_from_sample(counts: Array, other: Array, *, smallest: float) -> Apart:
    """Of two samples that are compared once."""
    day, second = _pooled(np.asarray(counts, float), np.asarray(other, float))
    if len(day) < 2 or not day.sum() or not second.sum():
        return Apart(0.0, 1.0)
    n, m = day.sum(), second.sum()
    return _apart(day, second, n * m / (n + m), smallest)


def e_value(p: float) -> float:
    """The e-value of a p-value: the mean over κ of κ·p^(κ−1), for κ from 0 to 1.

    (1 − p + p·ln p) / (p·ln² p), Vovk and Wang 2021 (doi 10.1214/20-AOS2020), after equation 3. No
    κ has to be chosen: a fixed one is better at one size of change and worse at all others. The
    mean of it over uniform p is 1.
    """
    p = max(p, _LEAST_P)
    if p >= 1:
        return 0.5
    log = math.log(p)
    # Near 1 both ends of the fraction vanish: its series there.
    return 0.5 - log / 6 if log > -1e-4 else (1 - p + p * log) / (p * log * log)


def _features(
    definition: ModelDefinition, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> dict[tuple[str, str], WatchedFeature]:
    features = [*input_features(definition, inputs), *answer_features(definition, outputs)]
    return {(feature.kind, feature.name): feature for feature in features}


def _live(
    kind: AlarmKind,
    summary: FeatureSummary,
    against: Any,
    apart: Apart,
    counts: Array,
    least_rows: int,
) -> LiveDistance:
    n = int(counts.sum())
    judged = n >= least_rows
    return LiveDistance(
        kind=kind,
        feature=summary.name,
        against=against,
        distance=apart.distance,
        n=n,
        p=apart.p if judged else None,
        e=e_value(apart.p) if judged else None,
    )


def _pooled(day: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Both with rare cells in one: where fewer rows than eight are to be expected of either.

    Expected is what both together have, so that a name that is new today is a cell of its own.
    """
    both = day + other
    rows = min(day.sum(), other.sum())
    expected = both / max(both.sum(), 1) * rows
    rare = expected < _EXPECTED
    if not rare.any():
        return day, other
    pooled = [np.append(side[~rare], side[rare].sum()) for side in (day, other)]
    if both[rare].sum() == 0:
        pooled = [side[:-1] for side in pooled]
    return pooled[0], pooled[1]


def _apart(day: Floats, other: Floats, rows: float, bound: float) -> Apart:
    from scipy import stats

    squared = _squared(day, other)
    freedom = len(day) - 1
    statistic = 8 * rows * squared
    centre = 8 * rows * bound**2
    p = stats.ncx2.sf(statistic, freedom, centre) if centre else stats.chi2.sf(statistic, freedom)
    # The mean of the statistic without a change is its degrees of freedom.
    distance = math.sqrt(max(squared - freedom / (8 * rows), 0.0))
    return Apart(min(distance, 1.0), float(np.clip(np.nan_to_num(p, nan=0.0), 0.0, 1.0)))


def _squared(day: Floats, other: Floats) -> float:
    """The square of Hellinger's distance, of roots whose means agree where counts are small.

    The mean of √(count + c) is nearly √(expected + c − 1/4) (Anscombe 1948); 3/8 for the smaller
    sample has the most equal variance, and what the larger one gets makes both means equal.
    """
    fewer, more = sorted((day, other), key=np.sum)
    n, m = fewer.sum(), more.sum()
    roots = np.sqrt(fewer + 0.375), np.sqrt((more + 0.25 + m / (8 * n)) * n / m)
    return float(((roots[0] - roots[1]) ** 2).sum() / (2 * n))


def _allowed(smallest: float, freedom: int, rows: float) -> float:
    """The 95 % quantile of a distance, noncentral chi-square by Patnaik's approximation (1949)."""
    from scipy import stats

    centre = rows * smallest**2
    scale = (freedom + 2 * centre) / (freedom + centre)
    quantile = stats.chi2.ppf(_REFERENCE_CONFIDENCE, (freedom + centre) / scale)
    return float(np.sqrt(scale * quantile / rows))
