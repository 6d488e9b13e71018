"""Curves of rankings: ROC, and precision by recall."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from overnight.models.examples import Array
from overnight.models.metrics.evaluation import Floats
from overnight.models.plots import plots as drawn

# Of each class: which rows are of it, and their scores for it, [n] each.
ByClass = Mapping[str, tuple[Array, Array]]


def roc(by_class: ByClass) -> bytes:
    """Each class's share of its rows retrieved, over the share of others retrieved with them."""
    figure, axes = _square("share of other classes retrieved", "share of the class retrieved")
    axes.plot([0, 1], [0, 1], color="#8d99ae", linewidth=1)
    for name, (positive, scores) in by_class.items():
        hits, retrieved = _counts(positive, scores)
        others = retrieved - hits
        if hits[-1] and others[-1]:
            axes.plot(others / others[-1], hits / hits[-1], label=name)
    return _finished(figure, axes)


def precision_by_recall(by_class: ByClass) -> bytes:
    """Each class's share of right answers among those retrieved, over its share retrieved."""
    figure, axes = _square("recall", "precision")
    for name, (positive, scores) in by_class.items():
        hits, retrieved = _counts(positive, scores)
        if hits[-1]:
            # From the first row on: of none there is no precision.
            axes.plot(
                hits[1:] / hits[-1], hits[1:] / retrieved[1:], label=name, drawstyle="steps-pre"
            )
    return _finished(figure, axes)


def _counts(positive: Array, scores: Array) -> tuple[Floats, Floats]:
    """Rows of the class, and all rows, at or above each score that occurs; 0 first."""
    ranked = -scores.astype(np.float64)
    order = np.argsort(ranked, kind="stable")
    hits = np.cumsum(positive.astype(np.float64)[order])
    ends = np.append(np.flatnonzero(np.diff(ranked[order])), len(order) - 1)
    return np.append(0.0, hits[ends]), np.append(0.0, ends + 1.0)


def _square(across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes: Any = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _finished(figure: Figure, axes: Any) -> bytes:
    if axes.get_legend_handles_labels()[1]:
        drawn.legend(axes)
    return drawn.png(figure)
