"""Two accuracies on the same rows: exact tests of their difference, and its interval.

Only rows on which the two differ count: on `better` rows the candidate alone is right, on `worse`
rows the other alone. scipy is imported by the tests, because every command imports this module.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Berger and Boos (1994): the unknown share of rows that differ is searched in its interval of
# confidence 1 - GAMMA, and GAMMA is added to the p-value, which keeps it exact.
_GAMMA = 1e-4
_GRID = 41


@dataclass(frozen=True)
class PairedShares:
    """Counts of n paired rows, with tests of whether the candidate's accuracy is higher."""

    n: int
    better: int
    worse: int

    @property
    def difference(self) -> float:
        """The candidate's share of right answers minus the other's."""
        return (self.better - self.worse) / self.n

    def p_value_at_most(self, bound: float) -> float:
        """The p-value of `the true difference is at most bound` against `it is above`.

        At zero this is McNemar's hypothesis and his exact test, one-sided (McNemar 1947): given
        that two equals differ, each is right half of the time. Elsewhere no conditional test is
        left, so it is the exact unconditional one: the largest probability, over every share of
        rows on which such two may differ, of a score (Tango 1998) as high as this one.
        """
        from scipy.stats import binomtest

        if bound == 0:
            differ = self.better + self.worse
            if differ == 0:
                return 1.0
            return float(binomtest(self.better, differ, 0.5, alternative="greater").pvalue)
        # No difference of two shares is beyond 1.
        if bound <= -1:
            return 0.0
        if bound >= 1:
            return 1.0
        return _unconditional(self, bound)

    def p_value_at_least(self, bound: float) -> float:
        """The p-value of `the true difference is at least bound` against `it is below`."""
        return PairedShares(self.n, self.worse, self.better).p_value_at_most(-bound)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Tango's score interval for the difference, alpha outside at either end.

        For reports only: the exact tests decide, and may differ from it slightly.
        """
        from scipy.special import ndtri

        z = float(-ndtri(alpha))
        low = _lowest(self.better, self.worse, self.n, z)
        return low, -_lowest(self.worse, self.better, self.n, z)

    def __str__(self) -> str:
        return (
            f"right where it was wrong {self.better:,}, wrong where it was right {self.worse:,}, "
            f"of {self.n:,} rows"
        )


def score(better: Floats, worse: Floats, n: int, bound: float) -> Floats:
    """Tango's score (1998): the difference's distance from the bound in standard errors.

    The standard error is the one that is most likely when the true difference is the bound.
    """
    linear = better + worse - (2 * n - better + worse) * bound
    constant = -worse * bound * (1 - bound)
    likeliest = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0)) + linear) / (4 * n)
    variance = n * (2 * likeliest + bound * (1 - bound))
    distance = better - worse - n * bound
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = distance / np.sqrt(np.maximum(variance, 0))
    return np.where(distance == 0, 0.0, scores)


def _score(better: int, worse: int, n: int, bound: float) -> float:
    return float(score(np.array([float(better)]), np.array([float(worse)]), n, bound)[0])


def _unconditional(counts: PairedShares, bound: float) -> float:
    from scipy.special import betaincinv

    differ, n = counts.better + counts.worse, counts.n
    # Clopper and Pearson (1934), for the share of rows that differ.
    low = betaincinv(differ, n - differ + 1, _GAMMA / 2) if differ else 0.0
    high = betaincinv(differ + 1, n - differ, 1 - _GAMMA / 2) if differ < n else 1.0
    # A true difference of `bound` needs at least that share of differing rows.
    low, high = max(low, abs(bound)), max(high, abs(bound))
    reached = _score(counts.better, counts.worse, n, bound)
    p_values = _tail_probabilities(n, bound, np.linspace(low, high, _GRID), reached)
    return min(1.0, float(p_values.max()) + _GAMMA)


def _tail_probabilities(n: int, bound: float, differ: Floats, reached: float) -> Floats:
    """P(score >= reached) at the true difference `bound`, for each share of differing rows."""
    from scipy.special import betainc, gammaln, xlog1py, xlogy

    better, worse = (differ + bound)[:, None] / 2, (differ - bound)[:, None] / 2
    # Seven standard deviations hold all but 1e-11 of the probability.
    margin = 7 * np.sqrt(n * worse * (1 - worse)) + 25
    first, last = int(max(0, (n * worse - margin).min())), int(min(n, (n * worse + margin).max()))
    losses = np.arange(first, last + 1, dtype=np.float64)
    least = _least_better(losses, n, bound, reached)
    # The binomial probability of exactly so many losses, in logarithms against underflow.
    ways = gammaln(n + 1) - gammaln(losses + 1) - gammaln(n - losses + 1)
    exactly = np.exp(ways + xlogy(losses, worse) + xlog1py(n - losses, -worse))
    conditional = np.clip(better / np.maximum(1 - worse, 1e-300), 0, 1)
    # P(at least k of m) is a regularised incomplete beta function.
    within = np.clip(least, 1, np.maximum(n - losses, 1))
    enough = betainc(within, n - losses - within + 1, conditional)
    enough = np.where(least <= 0, 1.0, np.where(least > n - losses, 0.0, enough))
    probabilities: Floats = np.sum(exactly * enough, axis=1)
    return probabilities


def _least_better(losses: Floats, n: int, bound: float, reached: float) -> Floats:
    """The fewest wins, for each number of losses, whose score reaches `reached`; by bisection."""
    least, most = np.zeros_like(losses), n - losses + 1
    while np.any(least < most):
        middle = np.floor((least + most) / 2)
        # Equal scores computed in two ways must not differ by rounding.
        high = score(middle, losses, n, bound) >= reached - 1e-9
        least, most = np.where(high, least, middle + 1), np.where(high, middle, most)
        least = np.minimum(least, most)
    return most


def _lowest(better: int, worse: int, n: int, z: float) -> float:
    """The lowest difference whose score is at most z, by bisection."""
    low, high = -1.0, (better - worse) / n
    # Sixty halvings reach the precision of a double.
    for _ in range(60):
        middle = (low + high) / 2
        if _score(better, worse, n, middle) > z:
            low = middle
        else:
            high = middle
    return high
