"""Plots for the report of any forecast with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.regression import Floats
from overnight.models.plots import plots as drawn

_SHOWN = 12


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, forecasts over true values, and errors."""
    answered, truth = (
        _answered(outputs)[:, 1],
        examples.labels_of(next(iter(outputs))).astype(np.float64),
    )
    return {
        "Learning curves": drawn.curves(history, metrics=("loss", "loss")),
        "Answer and truth": _scattered(truth, answered, "truth", "answer"),
        "Error over truth": _scattered(truth, answered - truth, "truth", "error"),
    }


def disagreements(examples: Examples, first: Outputs, second: Outputs) -> dict[str, bytes]:
    """The rows on which two versions differ most, with their true values."""
    then, now = _answered(first)[:, 1], _answered(second)[:, 1]
    rows = np.argsort(-np.abs(then - now), kind="stable")[:_SHOWN]
    figure = Figure(figsize=(7, 0.4 * len(rows) + 1), layout="constrained")
    axes: Any = figure.subplots()
    for values, label in (
        (then, "first"),
        (now, "second"),
        (examples.labels_of(next(iter(first))), "truth"),
    ):
        axes.plot(values[rows], np.arange(len(rows)), "o", label=label)
    axes.set_yticks(np.arange(len(rows)), [f"row {row}" for row in rows])
    drawn.legend(axes)
    return {"Where they disagree": drawn.png(figure)}


def _answered(outputs: Outputs) -> Floats:
    """The first output: low end, forecast, high end, [n, 3]."""
    return np.asarray(next(iter(outputs.values())), np.float64)


def _scattered(across: Floats, up: Floats, across_is: str, up_is: str) -> bytes:
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes: Any = figure.subplots()
    axes.plot(across, up, ".", markersize=3)
    axes.set_xlabel(across_is)
    axes.set_ylabel(up_is)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn.png(figure)
