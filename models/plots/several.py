"""Plots for the report of any model with several outputs, each by its kind.

An output with class indices as labels is a classifier; one with numbers is shown over the truth; an
output without labels, such as an embedding, by the lengths of its rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from overnight.models.examples import Array, Examples, Outputs
from overnight.models.plots import plots as drawn

_INK = "#1b2a41"


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, and for each output its confusion, its answers and truth, or lengths."""
    titled = {f"{name}, {title}": picture for name, title, picture in _each(examples, outputs)}
    return {"Learning curves": drawn.curves(history, metrics=None), **titled}


def disagreements(examples: Examples, first: Outputs, second: Outputs) -> dict[str, bytes]:
    """The rows that two versions answer differently, for each output that has some."""
    shown: dict[str, bytes] = {}
    for which, outputs in (("the first", first), ("the second", second)):
        for name in outputs:
            then, now = (np.asarray(answers[name]) for answers in (first, second))
            rows = np.flatnonzero(_answered(then) != _answered(now))
            if len(rows):
                ours = {name: np.asarray(outputs[name])[rows]}
                shown |= {
                    f"Where they disagree on {name}, {title}, {which}": picture
                    for _, title, picture in _each(examples.take(rows), ours)
                }
    return shown


def _each(examples: Examples, outputs: Outputs) -> Iterator[tuple[str, str, bytes]]:
    labels_by_output = examples.by_output(next(iter(outputs)))
    for name, answers in outputs.items():
        labels, wide = labels_by_output.get(name), np.asarray(answers).reshape(len(answers), -1)
        if labels is None:
            yield name, "lengths", _histogram(np.linalg.norm(wide.astype(float), axis=1))
        elif _is_class(labels, wide):
            names = [str(number) for number in range(wide.shape[1])]
            yield name, "confusion", drawn.confusion(labels, wide.argmax(axis=1), names)
        else:
            yield name, "answer and truth", _scattered(labels, wide)


def _is_class(labels: Array, answers: Array) -> bool:
    return labels.ndim == 1 and labels.dtype.kind in "iu" and answers.shape[1] > 1


def _answered(answers: Array) -> Array:
    """The answer of each row as one value: [n]."""
    wide = answers.reshape(len(answers), -1)
    is_probable = wide.shape[1] > 1 and np.allclose(wide.sum(axis=1), 1, atol=1e-3)
    # Numbers differ in their last digits between any two versions.
    answered: Array = wide.argmax(axis=1) if is_probable else wide.astype(float).sum(1).round(2)
    return answered


def _histogram(lengths: Array) -> bytes:
    figure = Figure(figsize=(4.6, 3), layout="constrained")
    axes: Any = figure.subplots()
    axes.hist(lengths, bins=30, color=_INK)
    axes.set_xlabel("length of a row")
    axes.spines[["top", "right"]].set_visible(False)
    return drawn.png(figure)


def _scattered(truth: Array, answers: Array) -> bytes:
    """Every number of the truth and what was answered; of quantiles the middle one."""
    wide = truth.reshape(len(truth), -1)
    if wide.shape[1] != answers.shape[1]:
        answers = answers[:, answers.shape[1] // 2, None]
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes: Any = figure.subplots()
    axes.plot(wide.ravel(), answers.ravel(), ".", markersize=3, color=_INK)
    axes.set_xlabel("truth")
    axes.set_ylabel("answer")
    axes.spines[["top", "right"]].set_visible(False)
    return drawn.png(figure)
