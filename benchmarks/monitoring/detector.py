"""Claim: an alarm of quality is false once in the declared number of labels, and comes soon.

Labels are drawn by seed, as many wrong as declared at most (then every alarm is false) or more. The
same streams go to the detector and to what others do: a test at p < 0.05 of each day, a fixed
threshold on a window, and ADWIN (Bifet and Gavaldà 2007, delta 0.002, looked at every 32 labels).
What the tables must show:

- without a change the detector alarms at most once in 100,000 labels;
- the median delay at p0 = 0.006: about 2,200 labels at 1.2 % wrong, 590 at 2 %, 133 at 5 %;
- peers are sooner only where they alarm without a change as well.

    python -m benchmarks.monitoring.detector --picture docs/images/monitoring-quality.svg
"""

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from benchmarks.monitoring.picture import draw_delays
from overnight.tasks.monitoring.detector import start, update

RUN_LENGTH = 100_000
DAY = 300
LONGEST = 30_000
P0S = (0.006, 0.04)
# True shares of wrong answers, as multiples of p0.
TIMES = (1.5, 2.0, 3.33, 5.0, 8.33, 12.0, 20.0)
_CLOCK = 32
_DELTA = 0.002
Losses = NDArray[np.bool_]


class Delay(NamedTuple):
    """After how many labels a judge alarms: median, 90 % quantile; `seen` is the share that did."""

    judge: str
    p0: float
    true: float
    median: float
    late: float
    seen: float
    alarms: int
    labels: int


def ours(losses: Losses, p0: float) -> int | None:
    """The e-detector at the declared run length."""
    alarm = update(start("quality", RUN_LENGTH), losses, p0).details["alarm"]
    return None if alarm is None else int(alarm["observation"])


def daily_test(losses: Losses, p0: float) -> int | None:
    """The first day whose share of wrong answers has p < 0.05 by the binomial test."""
    days = losses[: len(losses) // DAY * DAY].reshape(-1, DAY).sum(axis=1)
    small = np.flatnonzero(binom.sf(days - 1, DAY, p0) < 0.05)
    return int(small[0] + 1) * DAY if len(small) else None


def threshold(losses: Losses, p0: float) -> int | None:
    """The first time that twice p0 of the last day's labels are wrong, looked at after each."""
    sums = np.cumsum(np.concatenate(([0], losses)))
    windows = (sums[DAY:] - sums[:-DAY]) / DAY
    above = np.flatnonzero(windows >= 2 * p0)
    return int(above[0]) + DAY if len(above) else None


def adwin(losses: Losses, _p0: float) -> int | None:
    """The first time that a cut of the window shows more wrong answers after it than before."""
    blocks = losses[: len(losses) // _CLOCK * _CLOCK].reshape(-1, _CLOCK).sum(axis=1)
    begin = 0
    sums = np.concatenate(([0], np.cumsum(blocks))).astype(float)
    for end in range(2, len(blocks) + 1):
        n = (end - begin) * _CLOCK
        before = np.arange(1, end - begin) * _CLOCK
        wrong = sums[begin + 1 : end] - sums[begin]
        whole = sums[end] - sums[begin]
        means = wrong / before, (whole - wrong) / (n - before)
        share = whole / n
        harmonic = 1 / (1 / before + 1 / (n - before))
        log = math.log(2 * math.log(n) / _DELTA)
        cut = np.sqrt(2 / harmonic * share * (1 - share) * log) + 2 / (3 * harmonic) * log
        apart = means[1] - means[0]
        if (apart > cut).any():
            return end * _CLOCK
        if (-apart > cut).any():
            begin += int(np.flatnonzero(-apart > cut)[-1]) + 1
    return None


JUDGES: Mapping[str, Callable[[Losses, float], int | None]] = {
    "e-detector": ours,
    "p < 0.05 a day": daily_test,
    "window > 2 p0": threshold,
    "ADWIN": adwin,
}


def delays(p0: float, true: float, streams: int, seed: int) -> list[Delay]:
    """Every judge on the same streams; for ADWIN, which has no p0, a sound day comes first."""
    rng = np.random.default_rng(seed)
    longest = LONGEST if true <= p0 else min(LONGEST, max(1_000, int(40 / true) * 20))
    after: dict[str, list[int | None]] = {judge: [] for judge in JUDGES}
    for _ in range(streams):
        losses, sound = rng.random(longest) < true, rng.random(10 * DAY) < p0
        for judge, alarm_of in JUDGES.items():
            if judge == "ADWIN" and true > p0:
                alarm = alarm_of(np.concatenate((sound, losses)), p0)
                # An alarm before the change is false, and counted where nothing changes.
                late = None if alarm is None else alarm - len(sound)
                after[judge].append(late if late is None or late > 0 else None)
            else:
                after[judge].append(alarm_of(losses, p0))
    return [_delay(judge, p0, true, each, longest) for judge, each in after.items()]


def _delay(judge: str, p0: float, true: float, after: list[int | None], longest: int) -> Delay:
    seen = [alarm for alarm in after if alarm is not None]
    until = np.array([longest * 10 if alarm is None else alarm for alarm in after], float)
    median, late = np.quantile(until, [0.5, 0.9])
    labels = sum(longest if alarm is None else alarm for alarm in after)
    return Delay(judge, p0, true, median, late, len(seen) / len(after), len(seen), labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=200, help="of labels, a cell; default 200")
    parser.add_argument("--picture", type=Path, help="where to draw the delays, as SVG or PNG")
    arguments = parser.parse_args()
    rows = []
    for p0 in P0S:
        rows += delays(p0, p0, arguments.streams, seed=1)
        for times in TIMES:
            if times * p0 < 0.5:
                rows += delays(p0, times * p0, arguments.streams, seed=2)
    print_table(rows)
    if arguments.picture:
        draw_delays(rows, arguments.picture, run_length=RUN_LENGTH)


def print_table(rows: list[Delay]) -> None:
    print(f"labels until an alarm: median (90 % quantile); false alarms in {LONGEST:,} labels")
    print(f"{'p0':>6} {'wrong':>7} " + " ".join(f"{judge:>22}" for judge in JUDGES))
    for p0, true in dict.fromkeys((row.p0, row.true) for row in rows):
        cells = [_cell(row) for row in rows if (row.p0, row.true) == (p0, true)]
        print(f"{p0:6.1%} {true:7.1%} " + " ".join(f"{cell:>22}" for cell in cells))


def _cell(row: Delay) -> str:
    if row.true <= row.p0:
        every = f"1 in {row.labels / row.alarms:,.0f}" if row.alarms else "none"
        return f"{row.seen:.0%} ({every})"
    if row.seen < 0.5:
        return f"{row.seen:.0%} at all"
    late = f"{row.late:,.0f}" if row.seen >= 0.9 else "never"
    return f"{row.median:,.0f} ({late})"


if __name__ == "__main__":
    main()
