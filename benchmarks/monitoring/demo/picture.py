"""Draws the days of the demonstration for docs/monitoring.md."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from scipy.stats import beta

INK, QUIET, ALARM = "#1b2a41", "#8d99ae", "#d1495b"
VERSIONS = ("#8d99ae", "#00798c", "#edae49")
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class DayOfDemo:
    """A simulated day: who wrote, which version answered, and how many answers were right."""

    number: int
    writers: str
    version: str
    right: int
    answers: int
    state: str


def draw(days: Sequence[DayOfDemo], kind: str, path: Path) -> None:
    """The share of right answers of each day with its 95 % interval, and what happened between.

    `kind` is that of the first alarm.
    """
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "overnight", "font.size": 10}
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panel: Any = figure.subplots()
    versions = list(dict.fromkeys(day.version for day in days))
    for place, day in enumerate(days):
        share, (low, high) = day.right / day.answers, interval(day.right, day.answers)
        colour = VERSIONS[versions.index(day.version) % len(VERSIONS)]
        panel.errorbar(
            place,
            100 * share,
            yerr=[[100 * (share - low)], [100 * (high - share)]],
            color=colour,
            marker="o",
            capsize=3,
        )
        panel.annotate(f"{share:.1%}", (place, 100 * share), (8, -4), textcoords="offset points")
    noticed = next(place for place, day in enumerate(days) if day.state == "Drifted")
    panel.axvline(noticed - 0.5, color=QUIET, linestyle=":", linewidth=1)
    panel.axvline(noticed + 0.5, color=ALARM, linewidth=1)
    # Room below the lowest interval for what happened, and for the legend above all of them.
    lowest = min(interval(day.right, day.answers)[0] for day in days)
    floor = 2.0 * math.floor(50 * lowest - 0.6)
    text = f"{kind} alarm,\nretrained"
    panel.text(noticed + 0.53, floor + 0.2, text, color=ALARM, fontsize=9)
    panel.text(noticed - 0.53, floor + 0.2, "students begin", color=INK, fontsize=9, ha="right")
    panel.set_xticks(
        range(len(days)), [f"day {place}\n{day.writers}" for place, day in enumerate(days, 1)]
    )
    panel.set_xlim(-0.5, len(days) - 0.3)
    panel.set_ylim(floor, 100.5)
    panel.set_ylabel("right answers, %")
    for version, colour in zip(versions, VERSIONS, strict=False):
        panel.plot(
            [],
            [],
            color=colour,
            marker="o",
            label=f"answered by version {versions.index(version) + 1}",
        )
    panel.legend(
        frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(versions), fontsize=9
    )
    panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def interval(right: int, n: int) -> tuple[float, float]:
    """The interval of a share (Clopper and Pearson 1934)."""
    tail = (1 - _CONFIDENCE) / 2
    low = float(beta.ppf(tail, right, n - right + 1)) if right else 0.0
    high = float(beta.ppf(1 - tail, right + 1, n - right)) if right < n else 1.0
    return low, high
