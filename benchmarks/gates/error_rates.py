"""Claim: the paired gate promotes a model that is worse by its margin at most 2.5 times in 100.

Comparisons are drawn by seed from two models with known shares of right answers, and judged by
the gate, by a plain comparison of points, and by a fixed threshold such as tutorials have. Two
cases are distinguished: the candidate is worse by exactly the margin (promoting it is the error),
and it is just as good (refusing it is the error). What is declared, and what the table must show:

- promoted though worse by the margin: at most 2.5 %, whatever the rows and the agreement;
- refused though equal: at most 10 % wherever there are `rows_needed` rows or more;
- refused though equal, for any of ten slices: at most 2.5 % with Holm's correction;
- metrics with a value for each row: near 2.5 % (the bootstrap is not exact), closer with more rows.

    python -m benchmarks.gates.error_rates --picture docs/images/gate-error-rates.svg
"""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from benchmarks.gates.picture import draw
from benchmarks.gates.resampled import SPREADS, equals_refused, resampled_rates
from overnight.models.gates import ALPHA
from overnight.models.gates.shares import PairedShares

MARGIN = 0.005
CHAMPION = 0.97
THRESHOLD = 0.95
ROWS = (1_000, 3_000, 10_000, 30_000)
# How many rows two equal models answer differently: alike networks, and ever less alike ones.
DIFFER = (0.006, 0.02, 0.05)
SLICES = 10
Counts = NDArray[np.int64]
Fewest = dict[int, int]


class Rate(NamedTuple):
    """How often each judge promoted, of two models with a true difference.

    `exactly` is what the gate does by summing probabilities instead of drawing comparisons.
    """

    rows: int
    differ: float
    difference: float
    promoted: Mapping[str, float]
    exactly: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--draws", type=int, default=20_000, help="comparisons a cell; default 20,000"
    )
    parser.add_argument("--picture", type=Path, help="where to draw the rates, as SVG or PNG")
    arguments = parser.parse_args()
    rates: list[Rate] = []
    for rows in ROWS:
        for differ in DIFFER:
            fewest = fewest_won(rows, differ)
            truths = (-MARGIN, 0.0)
            rates += [rate(rows, differ, truth, fewest, arguments.draws) for truth in truths]
    print_rates(rates)
    print_slices(arguments.draws)
    print("\n| metric by row, worse by the margin | rows | studentised | percentile | BCa |")
    print("|---|---|---|---|---|")
    for line in resampled_rates():
        print(line, flush=True)
    spreads = " | ".join(f"spread of {spread:g} margins" for spread in SPREADS)
    print(f"\n| rows, two equals refused | {spreads} |\n|{'---|' * (1 + len(SPREADS))}")
    for line in equals_refused():
        print(line, flush=True)
    if arguments.picture:
        draw(rates, arguments.picture, margin=MARGIN, alpha=ALPHA)
        print(f"\n{arguments.picture}: {arguments.picture.stat().st_size / 1e3:.0f} kB")


def rate(rows: int, differ: float, difference: float, fewest: Fewest, draws: int) -> Rate:
    """Draw comparisons for one true difference and let every rule judge the same ones."""
    # Neither answer is right on what is left.
    won, lost = (differ + difference) / 2, (differ - difference) / 2
    cells = [CHAMPION - lost, won, lost, 1 - CHAMPION - won]
    samples = np.random.default_rng(rows).multinomial(rows, cells, size=draws)
    at_least = np.array([fewest.get(int(worse), rows) for worse in samples[:, 2]])
    promoted: Mapping[str, NDArray[np.bool_]] = {
        "gate": samples[:, 1] >= at_least,
        "interval": by_interval(samples, rows),
        "points": samples[:, 1] >= samples[:, 2],
        "threshold": samples[:, 0] + samples[:, 1] >= THRESHOLD * rows,
    }
    exactly = sum(
        binom.pmf(worse, rows, lost) * binom.sf(enough - 1, rows - worse, won / (1 - lost))
        for worse, enough in fewest.items()
    )
    shares = {name: float(share.mean()) for name, share in promoted.items()}
    return Rate(rows, differ, difference, shares, float(exactly))


def fewest_won(rows: int, differ: float) -> Fewest:
    """The fewest rows won with which `MaximumRegression(MARGIN)` passes, by rows lost."""
    # The range of both truths, up to one comparison in a million.
    first = int(binom.ppf(5e-7, rows, differ / 2))
    last = int(binom.isf(5e-7, rows, (differ + MARGIN) / 2))
    fewest: Fewest = {}
    won = 0
    for worse in range(first, last + 1):
        # One more lost row never needs fewer wins; the first search is by strides.
        for stride in (64, 8, 1) if worse == first else (1,):
            while not passes(rows, won + stride - 1, worse):
                won += stride
        fewest[worse] = won
    return fewest


def passes(rows: int, better: int, worse: int) -> bool:
    return PairedShares(rows, better, worse).p_value_at_most(-MARGIN) <= ALPHA


def by_interval(samples: Counts, rows: int) -> NDArray[np.bool_]:
    """The lower end of Agresti and Min's interval (2005), which assumes that many rows differ."""
    won, lost, n = samples[:, 1] + 0.5, samples[:, 2] + 0.5, rows + 2
    half = norm.isf(ALPHA) * np.sqrt(np.maximum(won + lost - (won - lost) ** 2 / n, 0)) / n
    passed: NDArray[np.bool_] = (won - lost) / n - half >= -MARGIN
    return passed


def rows_needed(differ: float, *, margin: float = MARGIN, power: float = 0.9) -> int:
    """Rows with which an equal passes so often (Connor 1987, for a shifted hypothesis)."""
    spread = norm.isf(ALPHA) * math.sqrt(differ) + norm.ppf(power) * math.sqrt(differ)
    return math.ceil((spread / margin) ** 2)


def print_rates(rates: list[Rate]) -> None:
    print(f"margin {MARGIN:.1%}, champion right on {CHAMPION:.0%}, threshold {THRESHOLD:.0%}\n")
    print(
        "| rows | differ | promoted though worse by the margin: gate, exactly | gate | interval "
        "| points | threshold | refused though equal: gate, exactly | gate | interval | points "
        "| threshold | rows for 10 % |"
    )
    print("|---" * 13 + "|")
    for worse, equal in zip(rates[::2], rates[1::2], strict=True):
        promoted = (f"{share:.1%}" for share in worse.promoted.values())
        refused = (f"{1 - share:.1%}" for share in equal.promoted.values())
        needed = f"{rows_needed(worse.differ):,}"
        known = f"{worse.exactly:.2%}", f"{1 - equal.exactly:.1%}"
        named = f"{worse.rows:,}", f"{worse.differ:.1%}"
        cells = (*named, known[0], *promoted, known[1], *refused, needed)
        print("| " + " | ".join(cells) + " |")


def print_slices(draws: int) -> None:
    """How often an equal is refused for any of ten slices of a thousand rows."""
    samples = np.random.default_rng(SLICES).multinomial(
        1_000, [0.005, 0.005, 0.99], size=(draws, SLICES)
    )
    won, lost = samples[..., 0], samples[..., 1]
    p = binom.sf(lost - 1, won + lost, 0.5)
    worst = p.min(axis=1)
    print(f"\nTen slices of 1,000 rows, 1 % of them differ, an equal refused for any ({draws:,}):")
    print(f"  with Holm's correction   {np.mean(worst * SLICES <= ALPHA):.1%}")
    print(f"  each slice by itself     {np.mean(worst <= ALPHA):.1%}")
    print(f"  points, any slice lower  {np.mean((won < lost).any(axis=1)):.1%}")


if __name__ == "__main__":
    main()
