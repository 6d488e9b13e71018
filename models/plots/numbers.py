"""Plots for the report of any regression with one number as its first output."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.evaluation import Floats
from overnight.models.plots import plots as drawn

_QUIET, _SHOWN = "#8d99ae", 12


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, answers over the truth, and residuals."""
    truth, answered = _arrays(examples, outputs)
    return {
        "Learning curves": drawn.curves(history, metrics=("loss", "loss")),
        "Answer and truth": _answers(truth, answered),
        "Residuals": _residuals(truth, answered),
    }


def disagreements(examples: Examples, first: Outputs, second: Outputs) -> dict[str, bytes]:
    """The rows on which two versions differ most, with their true values."""
    truth, then = _arrays(examples, first)
    _, now = _arrays(examples, second)
    rows = np.argsort(-np.abs(then - now), kind="stable")[:_SHOWN]
    figure = Figure(figsize=(7, 0.4 * len(rows) + 1), layout="constrained")
    axes: Any = figure.subplots()
    for values, label in ((then, "first"), (now, "second"), (truth, "truth")):
        axes.plot(values[rows], np.arange(len(rows)), "o", label=label)
    axes.set_yticks(np.arange(len(rows)), [f"row {row}" for row in rows])
    drawn.legend(axes)
    return {"Where they disagree": drawn.png(figure)}


def _arrays(examples: Examples, outputs: Outputs) -> tuple[Floats, Floats]:
    name = next(iter(outputs))
    truth = examples.labels_of(name).astype(np.float64)
    return truth, np.asarray(outputs[name], np.float64).reshape(len(truth))


def _answers(truth: Floats, answered: Floats) -> bytes:
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes: Any = figure.subplots()
    axes.plot(truth, answered, ".", markersize=3)
    if len(truth):
        ends = [min(truth.min(), answered.min()), max(truth.max(), answered.max())]
        axes.plot(ends, ends, color=_QUIET, linewidth=1, zorder=0)
    axes.set_xlabel("truth")
    axes.set_ylabel("answer")
    axes.spines[["top", "right"]].set_visible(False)
    return drawn.png(figure)


def _residuals(truth: Floats, answered: Floats) -> bytes:
    """Answer minus truth: over the answer, where a trend would show, and how often each."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    panels[0].plot(answered, answered - truth, ".", markersize=3)
    panels[1].hist(answered - truth, bins=30, orientation="horizontal", color=_QUIET)
    for panel, across in zip(panels, ("answer", "rows"), strict=True):
        panel.axhline(0, color=_QUIET, linewidth=1)
        panel.set_xlabel(across)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("answer minus truth")
    return drawn.png(figure)
