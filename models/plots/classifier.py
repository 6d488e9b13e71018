"""Plots for the report of any classifier."""

from collections.abc import Mapping, Sequence

import numpy as np

from overnight.models.examples import Array, Examples, Outputs
from overnight.models.plots import plots as drawn
from overnight.models.plots.ranking import precision_by_recall, roc

# More classes than this are too many names for the axes and lines of a picture.
_NAMED = 12


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, confusion, calibration, and curves of each class's ranking."""
    output, probabilities = _probabilities(outputs)
    answers, labels = probabilities.argmax(axis=1), examples.labels_of(output)
    names = _names(examples, probabilities)
    shown = {
        "Learning curves": drawn.curves(history, metrics=_shown(history)),
        "Confusion": drawn.confusion(labels, answers, names),
        "Calibration": drawn.calibration(probabilities.max(axis=1), answers == labels),
    }
    if len(names) > _NAMED:
        return shown
    # Of two classes the second alone: the first's curves are its mirror.
    classes = range(1, 2) if len(names) == 2 else range(len(names))
    by_class = {names[c]: (labels == c, probabilities[:, c]) for c in classes}
    return shown | {"ROC": roc(by_class), "Precision by recall": precision_by_recall(by_class)}


def disagreements(examples: Examples, first: Outputs, second: Outputs) -> dict[str, bytes]:
    """The confusion of each of two versions, on the rows that they answer differently."""
    (output, then), (_, now) = _probabilities(first), _probabilities(second)
    rows = np.flatnonzero(then.argmax(axis=1) != now.argmax(axis=1))
    return {
        f"Where they disagree, {which}": drawn.confusion(
            examples.labels_of(output)[rows], answers[rows].argmax(axis=1), _names(examples, then)
        )
        for which, answers in (("the first", then), ("the second", now))
    }


def _probabilities(outputs: Outputs) -> tuple[str, Array]:
    """The output with a number for each class: `probabilities`, or else the first."""
    name = "probabilities" if "probabilities" in outputs else next(iter(outputs))
    return name, np.asarray(outputs[name])


def _names(examples: Examples, probabilities: Array) -> list[str]:
    """The classes' names where the schema is known, else their numbers."""
    labels = examples.tensors.labels if examples.tensors is not None else ()
    count = probabilities.shape[1]
    return list(labels) if len(labels) == count else [str(number) for number in range(count)]


def _shown(history: Sequence[Mapping[str, float]]) -> tuple[str, str]:
    """The loss, and the accuracy where the fit reports it."""
    return ("loss", "accuracy" if history and "validation_accuracy" in history[0] else "loss")
