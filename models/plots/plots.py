"""Shared plots for reports, as PNG bytes.

Only figures are used, never pyplot: it keeps global state and may look for a display.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from overnight.models.examples import Array
from overnight.models.metrics.classification import share

_INK, _MINE, _QUIET = "#1b2a41", "#d1495b", "#8d99ae"
_COLUMNS = 3


def curves(
    history: Sequence[Mapping[str, float]],
    *,
    metrics: Sequence[str] | None = ("loss", "accuracy"),
) -> bytes:
    """Metrics by epoch, for training and validation; None for all that were recorded.

    Of a network that was not trained, there is nothing to draw, and the picture says so.
    """
    shown = _recorded(history) if metrics is None else metrics
    if not history:
        return _text("not trained: served as it is")
    columns = min(len(shown), _COLUMNS)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False).ravel()
    epochs = range(1, len(history) + 1)
    for panel in axes[len(shown) :]:
        panel.set_axis_off()
    for panel, metric in zip(axes, shown, strict=False):
        panel.plot(epochs, [row[metric] for row in history], color=_QUIET, label="training")
        validation = [row[f"validation_{metric}"] for row in history]
        panel.plot(epochs, validation, color=_MINE, marker="o", markersize=3, label="validation")
        panel.set_title(metric, loc="left", color=_INK)
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].set_yscale("log")
    legend(axes[0])
    return png(figure)


def _recorded(history: Sequence[Mapping[str, float]]) -> list[str]:
    """The metrics of training that validation has as well, the loss first."""
    names = history[-1] if history else ()
    return sorted((n for n in names if f"validation_{n}" in names), key=lambda n: (n != "loss", n))


def _text(text: str) -> bytes:
    figure = Figure(figsize=(4, 1), layout="constrained")
    axes: Any = figure.subplots()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=_INK)
    return png(figure)


def confusion(labels: Array, answers: Array, names: Sequence[str]) -> bytes:
    """Confusion matrix: true class in rows, answers in columns; right answers are grey."""
    classes = range(len(names))
    crossed = pd.crosstab(np.asarray(labels), np.asarray(answers))
    counts = crossed.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
    # Coloured by mistakes alone: beside thousands of right answers none would be seen.
    wrong = counts * (1 - np.eye(len(names), dtype=int))
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes: Any = figure.subplots()
    axes.imshow(wrong, cmap="Reds", vmin=0, vmax=max(int(wrong.max()), 1))
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            strong = wrong[row, column] > wrong.max() / 2
            colour = _QUIET if row == column else ("white" if strong else _INK)
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    axes.set_title(f"{int(wrong.sum())} of {len(labels)} wrong", loc="left", color=_INK)
    return png(figure)


def calibration(confidences: Array, right: Array, *, bins: int = 15) -> bytes:
    """Reliability diagram: accuracy by confidence, with the diagonal of perfect calibration.

    Equal-width bins as in Guo et al. 2017; the size of a dot is the share of answers in its bin,
    its bar the 95 % interval (Wilson 1927).
    """
    confident, hits = np.asarray(confidences, float), np.asarray(right, bool)
    places = np.minimum((confident * bins).astype(int), bins - 1)
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes: Any = figure.subplots()
    axes.plot([0, 1], [0, 1], color=_QUIET, linewidth=1, label="perfectly calibrated")
    for place in np.unique(places):
        chosen = places == place
        right_here = share("accuracy", hits[chosen])
        mean = confident[chosen].mean()
        axes.vlines(mean, right_here.low, right_here.high, color=_MINE, linewidth=1)
        size = 12 + 120 * right_here.n / len(hits)
        axes.scatter([mean], [right_here.value], color=_MINE, s=size, zorder=3)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence of the answer")
    axes.set_ylabel("share answered right")
    axes.spines[["top", "right"]].set_visible(False)
    legend(axes)
    return png(figure)


def gallery(images: Array, captions: Sequence[str], *, columns: int = 8) -> bytes:
    """Small images in a grid, white on black, each with its caption."""
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(columns * 1.1, rows * 1.35), layout="constrained")
    panels: Any = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.ravel():
        panel.axis("off")
    for panel, image, caption in zip(panels.ravel(), images, captions, strict=False):
        panel.imshow(image, cmap="gray", vmin=0, vmax=255)
        panel.set_title(caption, fontsize=8, color=_INK)
    return png(figure)


def search(trials: Sequence[tuple[Mapping[str, float], float]], best: int) -> bytes:
    """Validation loss of every trial over each setting, one panel each; the best is marked."""
    names = list(trials[0][0])
    figure = Figure(figsize=(3.2 * len(names), 3), layout="constrained")
    panels: Any = figure.subplots(1, len(names), squeeze=False)[0]
    losses = [loss for _, loss in trials]
    for panel, name in zip(panels, names, strict=True):
        values = [settings[name] for settings, _ in trials]
        panel.scatter(values, losses, color=_QUIET, s=18)
        panel.scatter([values[best]], [losses[best]], color=_MINE, s=40)
        panel.set_xlabel(name)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_title("validation loss", loc="left", color=_INK)
    return png(figure)


def legend(axes: Any) -> None:
    """The names of what one panel shows, above all panels, where they cover nothing.

    Matplotlib's search for the emptiest corner takes seconds on many points.
    """
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(
        handles,
        labels,
        loc="outside upper right",
        ncols=max(1, len(labels)),
        frameon=False,
        fontsize=8,
    )


def png(figure: Figure) -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    # Without the version of matplotlib, so that equal figures have equal bytes.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
