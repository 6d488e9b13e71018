"""Claim: the studentised paired bootstrap errs less than percentile and BCa on the same draws."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from overnight.models.gates import ALPHA
from overnight.models.gates.resampling import RESAMPLES, SEED, PairedBootstrap

Floats = NDArray[np.float64]
# A holdout of sales is 28 days, of which a week may be missing; 100 is the minimum of the gates.
ROWS = (21, 28, 100, 400)
COMPARISONS = 4_000
# How much two equals differ from row to row, in margins.
SPREADS = (1.0, 1.5, 2.0, 3.0)
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]

# Differences of mean zero, which is exactly the margin: each pass is an error.
KINDS: Mapping[str, Draw] = {
    "normal": lambda random, shape: random.normal(size=shape),
    "a few rows lose much (exponential)": lambda random, shape: 1 - random.exponential(size=shape),
    "a few rows gain much (exponential)": lambda random, shape: random.exponential(size=shape) - 1,
    "very few rows lose very much (log-normal)": lambda random, shape: (
        np.exp(0.5) - random.lognormal(size=shape)
    ),
}


def resampled_rates() -> Iterator[str]:
    """One line of a table for each kind of differences and number of rows."""
    for rows in ROWS:
        times = _times(rows)
        for kind, draw in KINDS.items():
            gains = np.sort(draw(np.random.default_rng(rows), (COMPARISONS, rows)), axis=1)
            means, squares = _moments(times, gains)
            chances = (studentised(gains, means, squares), *percentile_and_bca(gains, means))
            _check_against_gate(chances[0], gains)
            shares = " | ".join(f"{np.mean(chance <= ALPHA):.1%}" for chance in chances)
            yield f"| {kind} | {rows} | {shares} |"


def equals_refused() -> Iterator[str]:
    """One line for each number of rows: how often an equal fails to show that it is not worse."""
    for rows in ROWS:
        times, noise = _times(rows), np.random.default_rng(rows).normal(size=(COMPARISONS, rows))
        refused = []
        for spread in SPREADS:
            # In margins: how far the candidate is from being worse by the margin.
            gains = np.sort(1 + spread * noise, axis=1)
            refused.append(np.mean(studentised(gains, *_moments(times, gains)) > ALPHA))
        yield f"| {rows} | {' | '.join(f'{share:.1%}' for share in refused)} |"


def _times(rows: int) -> Floats:
    """The gate's own draws: how often each of the sorted rows is in each resample."""
    drawn = np.random.default_rng(SEED).integers(0, rows, (RESAMPLES, rows), dtype=np.int32)
    return np.stack([np.bincount(resample, minlength=rows) for resample in drawn]).astype(float)


def _moments(times: Floats, gains: Floats) -> tuple[Floats, Floats]:
    """Means and mean squares of every resample of every comparison: [resamples, comparisons]."""
    rows = gains.shape[1]
    return times @ gains.T / rows, times @ (gains**2).T / rows


def studentised(gains: Floats, means: Floats, squares: Floats) -> Floats:
    """The gate's test, vectorised; means and squares are [resamples, comparisons]."""
    mean, error = gains.mean(axis=1), gains.std(axis=1)
    pivots = (means - mean) / np.sqrt(np.maximum(squares - means**2, 1e-300))
    p_values: Floats = (np.sum(pivots >= mean / error, axis=0) + 1) / (RESAMPLES + 1)
    return p_values


def percentile_and_bca(gains: Floats, means: Floats) -> tuple[Floats, Floats]:
    """The p-values that percentile and BCa intervals imply (Efron 1987, inverted)."""
    mean = gains.mean(axis=1)
    percentile = (np.sum(means <= 0, axis=0) + 1) / (RESAMPLES + 2)
    apart = gains - mean[:, None]
    skew = np.sum(apart**3, axis=1) / 6 / np.sum(apart**2, axis=1) ** 1.5
    bias = ndtri((np.sum(means < mean, axis=0) + 0.5) / (RESAMPLES + 1))
    shifted = ndtri(percentile) - bias
    return percentile, ndtr(shifted / np.maximum(1 + skew * shifted, 1e-9) - bias)


def _check_against_gate(chances: Floats, gains: Floats) -> None:
    """Compare the first results with the gate itself, so that the simulation matches it."""
    for chance, sample in zip(chances[:20], gains, strict=False):
        gate = PairedBootstrap(sample, np.ones(len(sample)), len(sample)).p_value_at_most(0)
        assert abs(gate - chance) <= 2 / RESAMPLES, (gate, chance)
