"""Drift: the distance of an arrival from the data that the champion was trained on.

A finding fails when the distance is above its bound *and* its p-value is below `SIGNIFICANCE`: in a
small sample the distance is mostly noise and the p-value decides; in a large one every difference
is significant and the distance decides.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overnight.store.registry.manifest import Finding

Array = NDArray[np.generic]
# Of a hundred sound arrivals with ten findings each, about one is parked by chance.
SIGNIFICANCE = 0.001
# The rule of thumb for chi-square (Cochran 1954); below it the tables are drawn at random.
_EXPECTED_COUNT = 5.0
_DRAWS = 9_999


@dataclass(frozen=True)
class ColumnSample:
    """Statistics of n rows by name, [n] each, NaN where a value is missing.

    `categories` are codes or names without an order, `numbers` are quantities.
    """

    n: int
    categories: Mapping[str, Array] = field(default_factory=dict)
    numbers: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Distance:
    """Distance of two samples, and the p-value of their coming from one population."""

    value: float
    p: float


class ShiftGate(Protocol):
    """A bound on the drift of one statistic of an arrival."""

    def finding(self, arrival: str, sample: ColumnSample, reference: ColumnSample) -> Finding:
        """Compare the sample of an arrival with the reference."""


@dataclass(frozen=True)
class SameShares:
    """Categories keep their frequencies: Jensen-Shannon distance (base 2) of at most `bound`.

    The distance is 0 for equal shares, 1 for samples without a common category. `names`
    are those of the categories 0, 1, 2 …; an input with a vocabulary has its own names, by the name
    of the input, and the gaps of an input are the category `<name> is missing`.
    """

    category: str
    bound: float
    names: tuple[str, ...] = ()

    def finding(self, arrival: str, sample: ColumnSample, reference: ColumnSample) -> Finding:
        arrived, learned = (
            sample.categories.get(self.category),
            reference.categories.get(self.category),
        )
        if (reason := _incomparable(arrived, learned)) is not None:
            return _failed(self, self.category, arrival, reason, self.bound, sample.n)
        assert arrived is not None
        assert learned is not None
        kinds = np.union1d(arrived, learned)
        counts = np.array([[(side == kind).sum() for kind in kinds] for side in (arrived, learned)])
        shares = counts / counts.sum(axis=1, keepdims=True)
        most = int(np.abs(shares[0] - shares[1]).argmax())
        summary = (
            f"largest change is {self._name(kinds[most])}, from {shares[1][most]:.1%} "
            f"to {shares[0][most]:.1%}; Jensen-Shannon distance"
        )
        return _judged(
            self, self.category, arrival, shares_distance(*counts), summary, self.bound, arrived
        )

    def _name(self, kind: np.generic) -> str:
        if isinstance(kind, str):
            return str(kind)
        index = int(kind)
        return self.names[index] if 0 <= index < len(self.names) else str(index)


@dataclass(frozen=True)
class SameSpread:
    """A quantity keeps its distribution: Wasserstein distance of at most `bound` deviations.

    Missing values are left out; how many may be missing is declared by the columns.
    """

    number: str
    bound: float

    def finding(self, arrival: str, sample: ColumnSample, reference: ColumnSample) -> Finding:
        arrived, learned = (_present(side.numbers.get(self.number)) for side in (sample, reference))
        if (reason := _incomparable(arrived, learned)) is not None:
            return _failed(self, self.number, arrival, reason, self.bound, sample.n)
        assert arrived is not None
        assert learned is not None
        summary = (
            f"{_mean(arrived):.4g} on average where {_mean(learned):.4g} was learned; "
            "normalised Wasserstein distance"
        )
        distance = spread_distance(arrived, learned)
        return _judged(self, self.number, arrival, distance, summary, self.bound, arrived)


def shares_distance(counts: Sequence[int] | Array, reference: Sequence[int] | Array) -> Distance:
    """Between two rows of counts of the same categories, each with at least one row.

    The square root of the Jensen-Shannon divergence in bits (Lin 1991; Endres and Schindelin
    2003); the p-value by Pearson's chi-square test of homogeneity, with tables drawn at random
    where an expected count is below five.
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
        # A fixed seed: an arrival that is judged again must get the same finding.
        method = stats.MonteCarloMethod(n_resamples=_DRAWS, rng=np.random.default_rng(0))
    # Rounding can make a divergence of 0 slightly negative, and its root NaN.
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


def _present(values: Array | None) -> Array | None:
    """The values that are not missing."""
    return None if values is None else values[~np.isnan(values.astype(np.float64))]


def _incomparable(arrived: Array | None, learned: Array | None) -> str | None:
    """Why two samples cannot be compared, or None when they can."""
    for sample, owner in ((arrived, "the arrival"), (learned, "what was learned")):
        if sample is None:
            return f"was not measured of {owner}"
        if not len(sample):
            return f"has no row in {owner}"
        # Names of categories are texts.
        if sample.dtype.kind == "U":
            continue
        wrong = int((~np.isfinite(sample.astype(np.float64))).sum())
        if wrong:
            return f"is not a number in {wrong:,} of {len(sample):,} rows of {owner}"
    return None


def _failed(
    gate: ShiftGate, metric: str, arrival: str, reason: str, bound: float, n: int
) -> Finding:
    return Finding(
        gate=type(gate).__name__,
        metric=metric,
        slice=arrival,
        passed=False,
        message=f"{metric} {reason}",
        bound=bound,
        direction="at most",
        n=n,
    )


def _judged(
    gate: ShiftGate,
    metric: str,
    arrival: str,
    distance: Distance,
    summary: str,
    bound: float,
    arrived: Array,
) -> Finding:
    chance = f"chance alone {distance.p:.2g}" if distance.p >= 1e-9 else "hardly by chance"
    return Finding(
        gate=type(gate).__name__,
        metric=metric,
        slice=arrival,
        passed=not (distance.value > bound and distance.p < SIGNIFICANCE),
        message=f"{summary} {distance.value:.3g}, at most {bound:g} ({chance})",
        value=distance.value,
        bound=bound,
        direction="at most",
        n=len(arrived),
    )


def _mean(values: Array) -> float:
    return float(values.astype(np.float64).mean())
