"""The paired bootstrap's error on metrics told row by row, beside two others on the same draws."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from overnight.models.gates import ALPHA
from overnight.models.gates.resampling import RESAMPLES, SEED, PairedBootstrap

Floats = NDArray[np.float64]
# A holdout of sales is 28 days, of which a week may be missing; 100 is what gates ask for.
ROWS = (21, 28, 100, 400)
NIGHTS = 4_000
# How much two equals differ from row to row, in margins.
SPREADS = (1.0, 1.5, 2.0, 3.0)
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]

# Differences of mean zero, which is exactly the margin: whoever passes is promoted in error.
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
            nights = np.sort(draw(np.random.default_rng(rows), (NIGHTS, rows)), axis=1)
            means, squares = _moments(times, nights)
            chances = (studentised(nights, means, squares), *percentile_and_bca(nights, means))
            _must_be_the_gates(chances[0], nights)
            shares = " | ".join(f"{np.mean(chance <= ALPHA):.1%}" for chance in chances)
            yield f"| {kind} | {rows} | {shares} |"


def equals_refused() -> Iterator[str]:
    """One line for each number of rows: how often an equal fails to show that it is not worse."""
    for rows in ROWS:
        times, noise = _times(rows), np.random.default_rng(rows).normal(size=(NIGHTS, rows))
        refused = []
        for spread in SPREADS:
            # In margins: how far the candidate is from being worse by the margin.
            nights = np.sort(1 + spread * noise, axis=1)
            refused.append(np.mean(studentised(nights, *_moments(times, nights)) > ALPHA))
        yield f"| {rows} | {' | '.join(f'{share:.1%}' for share in refused)} |"


def _times(rows: int) -> Floats:
    """The gate's own draws: how often each of the sorted rows is in each resample."""
    drawn = np.random.default_rng(SEED).integers(0, rows, (RESAMPLES, rows), dtype=np.int32)
    return np.stack([np.bincount(one, minlength=rows) for one in drawn]).astype(float)


def _moments(times: Floats, nights: Floats) -> tuple[Floats, Floats]:
    """Means and mean squares of every resample of every night: [resamples, nights]."""
    rows = nights.shape[1]
    return times @ nights.T / rows, times @ (nights**2).T / rows


def studentised(nights: Floats, means: Floats, squares: Floats) -> Floats:
    """What the gate does, for many nights at once; means and squares are [resamples, nights]."""
    mean, error = nights.mean(axis=1), nights.std(axis=1)
    pivots = (means - mean) / np.sqrt(np.maximum(squares - means**2, 1e-300))
    found: Floats = (np.sum(pivots >= mean / error, axis=0) + 1) / (RESAMPLES + 1)
    return found


def percentile_and_bca(nights: Floats, means: Floats) -> tuple[Floats, Floats]:
    """The p-values that percentile and BCa intervals imply (Efron 1987, inverted)."""
    mean = nights.mean(axis=1)
    percentile = (np.sum(means <= 0, axis=0) + 1) / (RESAMPLES + 2)
    apart = nights - mean[:, None]
    skew = np.sum(apart**3, axis=1) / 6 / np.sum(apart**2, axis=1) ** 1.5
    bias = ndtri((np.sum(means < mean, axis=0) + 0.5) / (RESAMPLES + 1))
    shifted = ndtri(percentile) - bias
    return percentile, ndtr(shifted / np.maximum(1 + skew * shifted, 1e-9) - bias)


def _must_be_the_gates(chances: Floats, nights: Floats) -> None:
    """The first nights once more, by the gate itself: what is simulated is what is used."""
    for chance, night in zip(chances[:20], nights, strict=False):
        gate = PairedBootstrap(night, np.ones(len(night)), len(night)).p_value_at_most(0)
        assert abs(gate - chance) <= 2 / RESAMPLES, (gate, chance)
