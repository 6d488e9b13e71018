"""Draws the error rates of `error_rates` for docs/gates.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK, QUIET = "#1b2a41", "#8d99ae"
LOOKS = {
    "gate": ("#00798c", "o", "the paired gate"),
    "points": ("#d1495b", "s", "higher points win"),
    "threshold": ("#edae49", "^", "a fixed threshold"),
}
DASHES = ("-", "--", ":")


def draw(rates: Sequence[Any], path: Path, *, margin: float, alpha: float) -> None:
    """Two panels: what is promoted in error, and what is refused in error, by rows."""
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "overnight", "font.size": 10}
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    truths = ((-margin, f"promoted though worse by {margin:.1%}"), (0.0, "refused though equal"))
    differs = sorted({rate.differ for rate in rates})
    for panel, (difference, title) in zip(panels, truths, strict=True):
        for judge, (colour, marker, _) in LOOKS.items():
            for differ, dash in zip(differs, DASHES, strict=True):
                selected = [r for r in rates if (r.differ, r.difference) == (differ, difference)]
                shares = [
                    r.promoted[judge] if difference else 1 - r.promoted[judge] for r in selected
                ]
                panel.plot(
                    [r.rows for r in selected],
                    [max(100 * share, 0.05) for share in shares],
                    color=colour,
                    marker=marker,
                    linestyle=dash,
                    markersize=4,
                )
        _frame(panel, title)
    panels[0].axhline(100 * alpha, color=INK, linewidth=0.8)
    panels[0].text(1_000, 100 * alpha * 1.12, f"declared: {alpha:.1%}", color=INK, fontsize=9)
    panels[0].set_ylabel("per cent of comparisons")
    for colour, marker, name in LOOKS.values():
        panels[1].plot([], [], color=colour, marker=marker, markersize=4, label=name)
    for differ, dash in zip(differs, DASHES, strict=True):
        panels[1].plot([], [], color=QUIET, linestyle=dash, label=f"{differ:.1%} of rows differ")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def _frame(panel: Any, title: str) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(0.04, 130)
    panel.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    panel.set_xticks([1_000, 3_000, 10_000, 30_000], ["1,000", "3,000", "10,000", "30,000"])
    panel.minorticks_off()
    panel.set_xlabel("rows in the holdout")
    panel.set_title(title, loc="left", color=INK)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(visible=True, color=QUIET, alpha=0.25, linewidth=0.6)
