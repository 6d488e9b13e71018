"""Plots of a sales version for its report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from overnight.models.examples import Examples, Outputs
from overnight.models.plots import plots as drawn
from overnight.models.sales.metrics import in_interval
from overnight.models.sales.schema import DEPARTMENT, QUANTILES, STORE

_SHOWN = 12
_INK, _MINE, _QUIET = "#1f2430", "#2f6fde", "#9aa3b2"


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, forecast and truth by day, error by department, and the worst mistakes."""
    units = np.asarray(outputs["units"], np.float64)
    return {
        "Learning curves": drawn.curves(history, metrics=("loss", "wape")),
        "Forecast and truth": _by_day(examples, units),
        "By department": _by_department(examples, outputs),
        "Worst mistakes": _worst(examples, units),
    }


def disagreements(examples: Examples, first: Outputs, second: Outputs) -> dict[str, bytes]:
    """The forecasts on which two versions differ most, and the sales of those days."""
    then, now = (np.asarray(outputs["units"], np.float64)[:, 1] for outputs in (first, second))
    rows = np.argsort(-np.abs(then - now), kind="stable")[:_SHOWN]
    figure = Figure(figsize=(7, 0.4 * len(rows) + 1), layout="constrained")
    axes: Any = figure.subplots()
    places = np.arange(len(rows))
    for values, colour, label in (
        (then[rows], _QUIET, "first"),
        (now[rows], _MINE, "second"),
        (examples.labels_of()[rows], _INK, "sold"),
    ):
        axes.plot(values, places, "o", color=colour, label=label)
    axes.set_yticks(places, [_name(examples, row) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("pieces")
    drawn.legend(axes)
    return {"Where they disagree": drawn.png(figure)}


def _by_day(examples: Examples, units: NDArray[np.float64]) -> bytes:
    """All series summed by day; the sums of quantiles are wider than the quantiles of sums."""
    days, place = np.unique(examples.inputs["day"], return_inverse=True)
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes: Any = figure.subplots()
    moments = days.astype("datetime64[D]")
    low, middle, high = (np.bincount(place, units[:, q]) for q in range(len(QUANTILES)))
    axes.fill_between(moments, low, high, color=_MINE, alpha=0.15, label="P10 to P90, summed")
    axes.plot(moments, middle, color=_MINE, label="forecast")
    axes.plot(moments, np.bincount(place, examples.labels_of()), color=_INK, label="sold")
    axes.set_ylabel("pieces a day")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelrotation=30)
    drawn.legend(axes)
    return drawn.png(figure)


def _by_department(examples: Examples, outputs: Outputs) -> bytes:
    """The error and the share of truths in their intervals, a bar a department."""
    units = np.asarray(outputs["units"], np.float64)
    inside, sold = in_interval(examples, outputs), examples.labels_of().astype(np.float64)
    department = examples.inputs["department"]
    codes = [code for code in range(len(DEPARTMENT.vocabulary)) if (department == code).any()]
    names = [DEPARTMENT.vocabulary[code] for code in codes]
    missed = np.abs(sold - units[:, 1])
    errors = [
        missed[department == code].sum() / max(sold[department == code].sum(), 1) for code in codes
    ]
    covered = [inside[department == code].mean() for code in codes]
    figure = Figure(figsize=(8, 3), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    for axes, values, title in zip(
        panels, (errors, covered), ("WAPE", "share inside P10 to P90"), strict=True
    ):
        axes.barh(names, values, color=_MINE)
        axes.set_title(title, loc="left", color=_INK)
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].axvline(QUANTILES[-1] - QUANTILES[0], color=_QUIET)
    panels[0].invert_yaxis()
    return drawn.png(figure)


def _worst(examples: Examples, units: NDArray[np.float64]) -> bytes:
    """The largest errors in pieces, with the intervals of their forecasts."""
    sold = np.maximum(examples.labels_of().astype(np.float64), 0.0)
    rows = worst(sold, units)
    figure = Figure(figsize=(8, 0.34 * len(rows) + 1.1), layout="constrained")
    axes: Any = figure.subplots()
    places = np.arange(len(rows))
    axes.hlines(places, sold[rows], units[rows, 1], color=_QUIET, linewidth=1, linestyle=":")
    low, high = units[rows, 0], units[rows, -1]
    axes.hlines(places, low, high, color=_MINE, alpha=0.25, linewidth=7, label="P10 to P90")
    axes.plot(units[rows, 1], places, "o", color=_MINE, label="forecast")
    axes.plot(sold[rows], places, "o", color=_INK, label="sold")
    for place, row in zip(places, rows, strict=True):
        text = f"{units[row, 1] - sold[row]:+.0f}"
        end = max(sold[row], high[place])
        offset = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(text, (end, place), color=_INK, fontsize=8, **offset)
    axes.set_yticks(places, [_name(examples, row) for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("pieces")
    axes.margins(x=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return drawn.png(figure)


def worst(sold: NDArray[np.float64], units: NDArray[np.float64]) -> NDArray[np.intp]:
    """The rows with the largest absolute errors, the largest first."""
    return np.argsort(-np.abs(sold - units[:, 1]), kind="stable")[:_SHOWN]


def _name(examples: Examples, row: int) -> str:
    inputs = examples.inputs
    store, department = (
        spec.vocabulary[int(inputs[spec.name][row])] for spec in (STORE, DEPARTMENT)
    )
    return f"{department}, store {store}, {np.datetime64(int(inputs['day'][row]), 'D')}"
