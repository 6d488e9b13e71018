"""Shift: how far what arrived differs from what the champion learned.

A shift must be larger than what matters and surer than chance: a finding fails when the distance is
above its bound *and* so many rows of one population would differ as much less often than
`SIGNIFICANCE`. In a small sample the distance is mostly noise and chance decides; in a large one
chance explains nothing and the distance decides.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overnight.store.registry.manifest import Finding

Array = NDArray[np.generic]
# Of a hundred honest nights with ten findings each, fewer than one is held for nothing.
SIGNIFICANCE = 0.001
# The rule of thumb for chi-square (Cochran 1954); below it the tables are drawn at random.
_EXPECTED_COUNT = 5.0
_DRAWS = 9_999


@dataclass(frozen=True)
class ColumnSample:
    """Rows as numbers to compare: by name the value of each row, [n], NaN where it is missing.

    `categories` hold whole numbers that only tell rows apart, `numbers` those that have a size.
    """

    n: int
    categories: Mapping[str, Array] = field(default_factory=dict)
    numbers: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Distance:
    """How far two samples are apart, and how likely chance alone sets them as far apart."""

    value: float
    p: float


class ShiftGate(Protocol):
    """Something in which an arrival must be like what was learned."""

    def finding(self, arrival: str, sample: ColumnSample, reference: ColumnSample) -> Finding:
        """Hold the sample of an arrival against the reference."""


@dataclass(frozen=True)
class SameShares:
    """Categories are as frequent as they were: Jensen-Shannon distance (base 2) up to `bound`.

    0 is for equal shares, 1 for samples that have no category in common. `names` are those of
    the categories 0, 1, 2 …
    """

    category: str
    bound: float
    names: tuple[str, ...] = ()

    def finding(self, arrival: str, sample: ColumnSample, reference: ColumnSample) -> Finding:
        ours, theirs = sample.categories.get(self.category), reference.categories.get(self.category)
        if (broken := _broken(ours, theirs)) is not None:
            return _unusable(self, self.category, arrival, broken, self.bound, sample.n)
        assert ours is not None
        assert theirs is not None
        kinds = np.union1d(ours, theirs)
        counts = np.array([[(side == kind).sum() for kind in kinds] for side in (ours, theirs)])
        shares = counts / counts.sum(axis=1, keepdims=True)
        most = int(np.abs(shares[0] - shares[1]).argmax())
        told = (
            f"most moved is {self._name(kinds[most])}, from {shares[1][most]:.1%} "
            f"to {shares[0][most]:.1%}; Jensen-Shannon distance"
        )
        return _held(self, self.category, arrival, shares_distance(*counts), told, self.bound, ours)

    def _name(self, kind: np.generic) -> str:
        index = int(kind)
        return self.names[index] if 0 <= index < len(self.names) else str(index)


@dataclass(frozen=True)
class SameSpread:
    """A number is spread as it was: Wasserstein distance up to `bound` standard deviations.

    Rows of which it is missing say nothing of it; how many may be is for the columns to declare.
    """

    number: str
    bound: float

    def finding(self, arrival: str, sample: ColumnSample, reference: ColumnSample) -> Finding:
        ours, theirs = (_told(side.numbers.get(self.number)) for side in (sample, reference))
        if (broken := _broken(ours, theirs)) is not None:
            return _unusable(self, self.number, arrival, broken, self.bound, sample.n)
        assert ours is not None
        assert theirs is not None
        told = (
            f"{_mean(ours):.4g} on average where {_mean(theirs):.4g} was learned; "
            "normalised Wasserstein distance"
        )
        distance = spread_distance(ours, theirs)
        return _held(self, self.number, arrival, distance, told, self.bound, ours)


def shares_distance(counts: Sequence[int] | Array, reference: Sequence[int] | Array) -> Distance:
    """Between two rows of counts of the same categories, each with at least one row.

    The square root of the Jensen-Shannon divergence in bits (Lin 1991; Endres and Schindelin
    2003); chance by Pearson's chi-square test of homogeneity, with tables drawn at random where
    an expected count is below five.
    """
    from scipy import stats
    from scipy.spatial import distance

    table = np.array([counts, reference], np.int64)
    table = table[:, table.sum(axis=0) > 0]
    value = float(distance.jensenshannon(*table, base=2))
    if table.shape[1] == 1:
        return Distance(0.0, 1.0)
    method = None
    if stats.contingency.expected_freq(table).min() < _EXPECTED_COUNT:
        method = stats.MonteCarloMethod(n_resamples=_DRAWS, rng=np.random.default_rng(0))
    p = stats.chi2_contingency(table, correction=False, method=method).pvalue
    return Distance(0.0 if math.isnan(value) else value, float(p))


def spread_distance(values: Array, reference: Array) -> Distance:
    """Between two samples of a number, both finite and not empty.

    The first Wasserstein distance in standard deviations of the reference; infinite when a
    reference without any spread is left. Chance by the Kolmogorov-Smirnov test of two samples.
    """
    from scipy import stats

    apart = float(stats.wasserstein_distance(values, reference))
    spread = float(np.std(reference.astype(np.float64)))
    p = float(stats.ks_2samp(values, reference).pvalue)
    if spread > 0:
        return Distance(apart / spread, p)
    return Distance(math.inf if apart > 0 else 0.0, p)


def _told(values: Array | None) -> Array | None:
    """The values of the rows that have one."""
    return None if values is None else values[~np.isnan(values.astype(np.float64))]


def _broken(ours: Array | None, theirs: Array | None) -> str | None:
    """Why two samples cannot be compared, or None when they can."""
    for sample, whose in ((ours, "the arrival"), (theirs, "what was learned")):
        if sample is None:
            return f"was not measured of {whose}"
        if not len(sample):
            return f"has no row in {whose}"
        wrong = int((~np.isfinite(sample.astype(np.float64))).sum())
        if wrong:
            return f"is not a number in {wrong:,} of {len(sample):,} rows of {whose}"
    return None


def _unusable(
    gate: ShiftGate, metric: str, arrival: str, why: str, bound: float, n: int
) -> Finding:
    return Finding(
        gate=type(gate).__name__,
        metric=metric,
        slice=arrival,
        passed=False,
        message=f"{metric} {why}",
        bound=bound,
        n=n,
    )


def _held(
    gate: ShiftGate,
    metric: str,
    arrival: str,
    distance: Distance,
    told: str,
    bound: float,
    ours: Array,
) -> Finding:
    chance = f"chance alone {distance.p:.2g}" if distance.p >= 1e-9 else "hardly by chance"
    return Finding(
        gate=type(gate).__name__,
        metric=metric,
        slice=arrival,
        passed=not (distance.value > bound and distance.p < SIGNIFICANCE),
        message=f"{told} {distance.value:.3g}, at most {bound:g} ({chance})",
        value=distance.value,
        bound=bound,
        n=len(ours),
    )


def _mean(values: Array) -> float:
    return float(values.astype(np.float64).mean())
