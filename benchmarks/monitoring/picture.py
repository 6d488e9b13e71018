"""Draws the rates and delays of the monitor's detectors for docs/monitoring/statistics.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

INK, QUIET = "#1b2a41", "#8d99ae"
COLOURS = ("#00798c", "#d1495b", "#edae49", "#66a182", "#7d5ba6")
MARKERS = "os^Dv"


def draw_delays(rows: Sequence[Any], path: Path, *, run_length: int) -> None:
    """Labels until an alarm by the true share of wrong answers, and false alarms."""
    figure, (left, right) = _figure()
    judges = list(dict.fromkeys(row.judge for row in rows))
    p0s = list(dict.fromkeys(row.p0 for row in rows))
    for p0, dash in zip(p0s, ("-", "--"), strict=False):
        mine = [row for row in rows if row.judge == judges[0] and row.p0 == p0 and row.true > p0]
        seen = [row for row in mine if row.seen >= 0.5]
        x = [100 * row.true for row in seen]
        left.plot(
            x,
            [row.median for row in seen],
            dash,
            color=COLOURS[0],
            marker="o",
            markersize=4,
            label=f"median, at most {p0:.1%} expected",
        )
        sure = [row for row in seen if row.seen >= 0.9]
        ends = [row.median for row in sure], [row.late for row in sure]
        left.fill_between(
            [100 * row.true for row in sure], *ends, color=COLOURS[0], alpha=0.12, linewidth=0
        )
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xticks([1, 2, 5, 10, 30], ["1", "2", "5", "10", "30"])
    left.set_yticks([10, 100, 1_000, 10_000], ["10", "100", "1,000", "10,000"])
    left.minorticks_off()
    left.set_xlabel("per cent of answers that are wrong now")
    left.set_title("labels until the alarm, and to the 90 % quantile", loc="left", color=INK)
    left.legend(frameon=False, fontsize=9)
    rates = []
    for judge in judges:
        mine = [row for row in rows if row.judge == judge and row.true <= row.p0]
        rates.append(sum(r.alarms for r in mine) / sum(r.labels for r in mine) * run_length)
    _bars(right, judges, rates)
    right.axvline(1, color=INK, linewidth=0.8)
    right.set_title(f"false alarms in {run_length:,} labels", loc="left", color=INK)
    _save(figure, (left, right), path)


def draw_shifts(quiet: Sequence[Any], shifted: Sequence[Any], path: Path) -> None:
    """Nights until an alarm by the size of a shift, and false alarms in 400 nights."""
    figure, (left, right) = _figure()
    judges = list(dict.fromkeys(row.judge for row in quiet))
    requests = list(dict.fromkeys(row.requests for row in shifted))
    for place, n in enumerate(requests):
        mine = [row for row in shifted if row.judge == judges[0] and row.requests == n]
        seen = [row for row in mine if np.isfinite(row.days)]
        left.plot(
            [row.shift for row in seen],
            [row.days for row in seen],
            color=COLOURS[place],
            marker=MARKERS[place],
            markersize=4,
            label=f"{n:,} requests a day",
        )
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xticks([0.1, 0.2, 0.5, 1], ["0.1", "0.2", "0.5", "1"])
    left.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    left.minorticks_off()
    left.set_xlabel("shift of one feature of ten, in standard deviations")
    left.set_title("nights until the alarm, median", loc="left", color=INK)
    left.legend(frameon=False, fontsize=9)
    worst = [max(row.alarms for row in quiet if row.judge == judge) for judge in judges]
    _bars(right, judges, worst)
    right.axvline(1, color=INK, linewidth=0.8)
    title = "false alarms in 400 nights, at worst"
    right.set_title(title, loc="left", color=INK)
    _save(figure, (left, right), path)


def _figure() -> tuple[Figure, Any]:
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "overnight", "font.size": 10}
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels: Any = figure.subplots(1, 2)
    return figure, panels


def _bars(panel: Any, names: Sequence[str], values: Sequence[float]) -> None:
    places = np.arange(len(names))
    panel.barh(places, np.maximum(values, 0.02), color=COLOURS[: len(names)], height=0.6)
    panel.set_yticks(places, names)
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.set_xlim(0.02, 1_000)
    panel.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    panel.minorticks_off()
    for place, value in zip(places, values, strict=True):
        text = f"{value:.2g}" if value < 100 else f"{value:.0f}"
        panel.text(max(value, 0.02) * 1.15, place, text, va="center", fontsize=9, color=INK)


def _save(figure: Figure, panels: Any, path: Path) -> None:
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(visible=True, color=QUIET, alpha=0.25, linewidth=0.6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
