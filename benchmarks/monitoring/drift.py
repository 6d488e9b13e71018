"""Claim: drift alarms falsely once in the declared 400 nights, and is found in a few days.

Ten features of a day's requests, counted in the bins of a reference of 10,000 rows, are drawn by
seed. The same counts go to the detector and to what others do after each day: a test at p < 0.05
for each feature, the same corrected for ten features, and fixed thresholds on the population
stability index (0.1) and on the Jensen-Shannon distance (0.1). What the tables must show:

- over 400 nights without drift the detector alarms at most once on average, for few requests a day
  as for many, and also where days differ by themselves by a twentieth of a standard deviation;
- how small a shift of one feature of ten, in standard deviations, is found in how many requests.

    python -m benchmarks.monitoring.drift --picture docs/images/monitoring-drift.svg
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from benchmarks.monitoring.picture import draw_shifts
from overnight.tasks.monitoring.detector import alarmed, start
from overnight.tasks.monitoring.distances import SMALLEST, apart_from_reference, e_value
from overnight.tasks.monitoring.evidence import Observed, advance

NIGHTS = 400
FEATURES = 10
REFERENCE = 10_000
SHARES = np.array((0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99))
REQUESTS = (100, 300, 1_000, 10_000)
SHIFTS = (0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
# Longer than this nobody waits for an alarm.
PATIENCE = 60
VARYING = 0.05
JUDGES = ("e-detector", "p < 0.05 each", "Bonferroni", "PSI > 0.1", "JS > 0.1")
Counts = NDArray[np.int64]


class Nights(NamedTuple):
    """What a judge did with days of so many requests."""

    judge: str
    requests: int
    shift: float
    varying: float
    alarms: float
    days: float


def bins_of(shift: float) -> NDArray[np.float64]:
    """The shares of the reference's bins, for normal numbers that are shifted."""
    borders = norm.ppf(SHARES)
    return np.diff(np.concatenate(([0.0], norm.cdf(borders - shift), [1.0])))


def day(rng: np.random.Generator, requests: int, shift: float, varying: float) -> list[Counts]:
    """The counts of each feature; the last one is shifted, and all differ from day to day."""
    moves = rng.normal(0, varying, FEATURES) if varying else np.zeros(FEATURES)
    moves[-1] += shift
    return [rng.multinomial(requests, bins_of(move)) for move in moves]


def verdicts(counts: Sequence[Counts], references: Sequence[Counts]) -> Mapping[str, bool]:
    """Whether each of the peers alarms on this day."""
    ps, indices, distances = [], [], []
    for here, known in zip(counts, references, strict=True):
        ps.append(homogeneity(here, known))
        share = (here + 0.5) / (here.sum() + 6), known / known.sum()
        indices.append(float(((share[0] - share[1]) * np.log(share[0] / share[1])).sum()))
        distances.append(jensen_shannon(*share))
    return {
        "p < 0.05 each": min(ps) < 0.05,
        "Bonferroni": min(ps) < 0.05 / FEATURES,
        "PSI > 0.1": max(indices) > 0.1,
        "JS > 0.1": max(distances) > 0.1,
    }


def homogeneity(here: Counts, known: Counts) -> float:
    """The p-value of Pearson's test that both are of one population."""
    both = (here + known) / (here.sum() + known.sum())
    statistic = sum(
        float(((side - side.sum() * both) ** 2 / (side.sum() * both)).sum())
        for side in (here, known)
    )
    return float(chi2.sf(statistic, len(here) - 1))


def jensen_shannon(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """In bits, its root."""
    middle = (first + second) / 2
    parts = [float((side * np.log2(side / middle)).sum()) for side in (first, second)]
    return float(np.sqrt(sum(parts) / 2))


def es_of(counts: Sequence[Counts], references: Sequence[Counts]) -> list[float]:
    return [
        e_value(apart_from_reference(here, known, smallest=SMALLEST).p)
        for here, known in zip(counts, references, strict=True)
    ]


def first_alarm(es: NDArray[np.float64]) -> int | None:
    """After how many days [n, features] the detector alarms, as `drift_update` does."""
    days = np.arange(len(es))
    observed = [
        Observed(str(k), days, np.log(es[:, [k]]), np.zeros(len(es)), 1 / (4 * FEATURES))
        for k in range(es.shape[1])
    ]
    state = advance(start("drift", NIGHTS), observed, len(es))
    return None if alarmed(state) is None else int(state.details["alarm"]["observation"])


def without_drift(requests: int, varying: float, seeds: int) -> list[Nights]:
    """How many of 400 nights raise an alarm, on average over seeds."""
    alarms = dict.fromkeys(JUDGES, 0)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        references = [rng.multinomial(REFERENCE, bins_of(0.0)) for _ in range(FEATURES)]
        days = [day(rng, requests, 0.0, varying) for _ in range(NIGHTS)]
        for counts in days:
            for judge, verdict in verdicts(counts, references).items():
                alarms[judge] += verdict
        es = np.array([es_of(counts, references) for counts in days])
        begin = 0
        while (after := first_alarm(es[begin:])) is not None:
            alarms["e-detector"] += 1
            begin += after
            if begin >= NIGHTS:
                break
    return [
        Nights(judge, requests, 0.0, varying, count / seeds, NIGHTS)
        for judge, count in alarms.items()
    ]


def with_drift(requests: int, shift: float, seeds: int) -> list[Nights]:
    """The median of nights until a shift of one feature raises an alarm."""
    until: dict[str, list[float]] = {judge: [] for judge in JUDGES}
    for seed in range(seeds):
        rng = np.random.default_rng(1_000 + seed)
        references = [rng.multinomial(REFERENCE, bins_of(0.0)) for _ in range(FEATURES)]
        days = [day(rng, requests, shift, 0.0) for _ in range(PATIENCE)]
        es = np.array([es_of(counts, references) for counts in days])
        until["e-detector"].append(first_alarm(es) or np.inf)
        open_judges = set(JUDGES[1:])
        for number, counts in enumerate(days, 1):
            seen = verdicts(counts, references)
            for judge in [judge for judge in open_judges if seen[judge]]:
                until[judge].append(number)
                open_judges.discard(judge)
            if not open_judges:
                break
        for judge in open_judges:
            until[judge].append(np.inf)
    return [
        Nights(judge, requests, shift, 0.0, float(np.mean(np.isfinite(each))), np.median(each))
        for judge, each in until.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of 400 nights; default 5")
    parser.add_argument("--picture", type=Path, help="where to draw the nights, as SVG or PNG")
    arguments = parser.parse_args()
    quiet = [
        row
        for varying in (0.0, VARYING)
        for requests in REQUESTS
        for row in without_drift(requests, varying, arguments.seeds)
    ]
    print(f"nights with an alarm in {NIGHTS} without drift, of {arguments.seeds} seeds the mean")
    _print(quiet, lambda row: f"{row.alarms:.1f}")
    shifted = [
        row
        for requests in REQUESTS
        for shift in SHIFTS
        for row in with_drift(requests, shift, arguments.seeds)
    ]
    print(f"nights until a shift of one feature of {FEATURES} raises an alarm, median")
    _print(shifted, lambda row: f"{row.days:.0f}" if np.isfinite(row.days) else "never")
    if arguments.picture:
        draw_shifts(quiet, shifted, arguments.picture)


def _print(rows: Sequence[Nights], cell: object) -> None:
    assert callable(cell)
    print(f"{'requests':>9} {'shift':>6} {'days vary':>9} " + " ".join(f"{j:>14}" for j in JUDGES))
    for key in dict.fromkeys((row.requests, row.shift, row.varying) for row in rows):
        mine = {row.judge: row for row in rows if (row.requests, row.shift, row.varying) == key}
        cells = " ".join(f"{cell(mine[judge]):>14}" for judge in JUDGES)
        print(f"{key[0]:9,} {key[1]:6.2f} {key[2]:9.2f} {cells}")


if __name__ == "__main__":
    main()
