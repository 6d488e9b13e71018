"""Claim: a challenger that is exactly at a bound is withdrawn for it at most 2.5 times in 100.

However long it runs: its counters are looked at twice a second, and a rule for one look would fail
it sooner or later. Requests are drawn by seed and looked at after every ten, from the 200th on. Two
rules are compared on the same draws: the test for any number of looks, and what it replaced (the
lower end of a Wilson interval above the bound; for the slowdown, the mean above the bound). Then
challengers beyond their bound are drawn, and the median of requests until each rule withdraws them
is printed: the cost of being right at every look.

    python -m benchmarks.serving.withdrawals
"""

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from overnight.serving.telemetry.challenge_stats import ALPHA, SLOWDOWN_RANGE
from overnight.serving.telemetry.sequential_test import p_value

Numbers = NDArray[np.float64]
# Whether a rule withdraws at a total of so many numbers.
Rule = Callable[[float, int], bool]

EVERY, FIRST = 10, 200
LENGTHS = (1_000, 10_000, 100_000)
TIMED_EVERY = 4
# The spread of the logarithm of one pair of CPU times, as measured on a busy host.
SPREAD = 0.3
_Z = 1.959964


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2_000, help="challenges a row; default 2,000")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    random = np.random.default_rng(chosen.seed)
    print(f"withdrawn although exactly at the bound, of {chosen.runs:,} challenges")
    print(f"{'bound':>24} {'rule':>10} {'1 look':>8}", *(f"{n:>9,}" for n in LENGTHS))
    for name, bound in (("errors 1 %", 0.01), ("disagreements 5 %", 0.05)):
        draws = _shares(random, bound, chosen.runs, LENGTHS[-1])
        for rule, judge in _share_rules(bound).items():
            _print_rates(name, rule, _withdrawn_at(draws, judge))
    pairs = _slowdowns(random, 1.0, chosen.runs, LENGTHS[-1] // TIMED_EVERY)
    for rule, judge in _slowdown_rules().items():
        _print_rates("slowdown 2 times", rule, _withdrawn_at(pairs, judge, each=TIMED_EVERY))
    print("\nmedian requests until one beyond its bound is withdrawn")
    print(f"{'truth':>30} {'one look':>9} {'any look':>9}")
    for bound, truths in ((0.01, (0.012, 0.015, 0.02, 0.05, 0.5)), (0.05, (0.06, 0.1, 0.25, 1.0))):
        for truth in truths:
            draws = _shares(random, truth, chosen.runs // 4, LENGTHS[-1])
            _print_medians(f"{truth:.1%} where {bound:.0%} is allowed", draws, _share_rules(bound))
    for times in (1.1, 1.25, 2.0):
        pairs = _slowdowns(random, times, chosen.runs // 4, LENGTHS[-1] // TIMED_EVERY)
        title = f"{2 * times:g} times where 2 is allowed"
        _print_medians(title, pairs, _slowdown_rules(), each=TIMED_EVERY)


def _shares(random: np.random.Generator, share: float, runs: int, n: int) -> Numbers:
    """Failures so far at every look, [runs, looks]."""
    looks = n // EVERY
    return random.binomial(EVERY, share, (runs, looks)).cumsum(axis=1, dtype=np.int32)


def _slowdowns(random: np.random.Generator, beyond: float, runs: int, n: int) -> Numbers:
    """Sums so far of slowdown shares, at every look; `beyond` is the true ratio to the bound."""
    drawn = np.empty((runs, n // EVERY), np.float32)
    for run in range(runs):
        logs = random.normal(math.log(beyond), SPREAD, (n // EVERY, EVERY))
        shares = np.clip((1 + logs / math.log(SLOWDOWN_RANGE)) / 2, 0, 1)
        drawn[run] = shares.sum(axis=1).cumsum()
    return drawn


def _share_rules(bound: float) -> dict[str, Rule]:
    return {
        "one look": lambda total, n: _wilson_low(total, n) > bound,
        "any look": lambda total, n: p_value(total, n, bound) <= ALPHA,
    }


def _slowdown_rules() -> dict[str, Rule]:
    return {
        "one look": lambda total, n: total > n / 2,
        "any look": lambda total, n: p_value(total, n, 0.5) <= ALPHA,
    }


def _wilson_low(total: float, n: int) -> float:
    share, z2 = min(total / n, 1.0), _Z * _Z
    spread = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (share + z2 / (2 * n) - spread) / (1 + z2 / n)


def _withdrawn_at(totals: Numbers, rule: Rule, *, each: int = 1) -> Numbers:
    """The request at which each run is withdrawn; infinity where it never is: [runs].

    `each`: a number is measured with one in so many requests.
    """
    looks = np.arange(EVERY, EVERY * (totals.shape[1] + 1), EVERY)
    # A rule is monotone in the total, so a threshold for each look is all that has to be compared.
    thresholds = np.array([_threshold(rule, int(n)) for n in looks])
    exceeded = (totals >= thresholds) & (looks * each >= FIRST)
    first = exceeded.argmax(axis=1)
    return np.where(exceeded.any(axis=1), looks[first] * float(each), np.inf)


def _threshold(rule: Rule, n: int) -> float:
    """The least total that a rule withdraws at, to a hundredth."""
    low, high = 0.0, float(n)
    if not rule(high, n):
        return math.inf
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if rule(middle, n) else (middle, high)
    return high


def _print_rates(name: str, rule: str, at: Numbers) -> None:
    shares = [(at <= n).mean() for n in (FIRST, *LENGTHS)]
    print(f"{name:>24} {rule:>10} {shares[0]:>8.1%}", *(f"{share:>9.1%}" for share in shares[1:]))


def _print_medians(title: str, draws: Numbers, rules: dict[str, Rule], *, each: int = 1) -> None:
    medians = [np.median(_withdrawn_at(draws, rule, each=each)) for rule in rules.values()]
    print(f"{title:>30}", *(f"{median:>9,.0f}" for median in medians))


if __name__ == "__main__":
    main()
