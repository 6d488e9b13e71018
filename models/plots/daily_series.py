"""Plots for the report of any forecast of daily series."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from overnight.models.examples import Array, Examples, Outputs
from overnight.models.kinds.daily_series import LEAD
from overnight.models.metrics.evaluation import Floats
from overnight.models.moving_holdout import DAY
from overnight.models.plots import plots as drawn
from overnight.models.plots.regression import disagreements

__all__ = ["disagreements", "pictures"]

_SERIES, _QUIET, _MINE = 3, "#8d99ae", "#d1495b"


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, forecasts with their intervals day by day, and the error by lead."""
    name = next(iter(outputs))
    answered = np.asarray(outputs[name], np.float64)
    truth = examples.labels_of(name).astype(np.float64)
    return {
        "Learning curves": drawn.curves(history, metrics=("loss", "loss")),
        "Forecasts": _forecasts(examples, truth, answered),
        "Error by lead": _by_lead(examples.inputs[LEAD], truth, answered),
    }


def _forecasts(examples: Examples, truth: Floats, answered: Floats) -> bytes:
    """The truth, the forecast and its interval, of the series with most rows."""
    series, day = _series(examples), examples.inputs[DAY]
    names, counts = np.unique(series, return_counts=True)
    chosen = names[np.argsort(-counts, kind="stable")][:_SERIES]
    figure = Figure(figsize=(8, 2.2 * max(len(chosen), 1)), layout="constrained")
    panels: Any = figure.subplots(max(len(chosen), 1), 1, squeeze=False)[:, 0]
    for panel, name in zip(panels, chosen, strict=False):
        rows = np.flatnonzero(series == name)
        rows = rows[np.argsort(day[rows], kind="stable")]
        days = day[rows].astype("datetime64[D]")
        panel.fill_between(
            days, answered[rows, 0], answered[rows, -1], color=_QUIET, alpha=0.4, label="interval"
        )
        panel.plot(days, answered[rows, answered.shape[1] // 2], color=_MINE, label="forecast")
        panel.plot(days, truth[rows], "o", color="#1b2a41", markersize=3, label="truth")
        panel.set_title(str(name), loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    drawn.legend(panels[0])
    return drawn.png(figure)


def _by_lead(lead: Array, truth: Floats, answered: Floats) -> bytes:
    errors = np.abs(answered[:, answered.shape[1] // 2] - truth)
    leads = np.unique(lead)
    figure = Figure(figsize=(4.6, 3), layout="constrained")
    axes: Any = figure.subplots()
    axes.bar(leads, [errors[lead == days].mean() for days in leads], color=_QUIET)
    axes.set_xlabel("days ahead")
    axes.set_ylabel("mean absolute error")
    axes.spines[["top", "right"]].set_visible(False)
    return drawn.png(figure)


def _series(examples: Examples) -> Array:
    """The name of each row's series, [n]: its input that is text."""
    texts = (array for array in examples.inputs.values() if array.dtype.kind in "OUS")
    return next(texts, np.zeros(examples.n, np.int64)).astype(str)
