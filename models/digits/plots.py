"""Plots of a digits version for its report."""

from collections.abc import Mapping, Sequence

import numpy as np

from overnight.models.digits.schema import TENSORS
from overnight.models.examples import Examples, Outputs
from overnight.models.plots import plots as drawn

_WORST = 24
_SHOWN = 40


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, confusion, calibration, and the mistakes made with most confidence."""
    probabilities = np.asarray(outputs["probabilities"])
    answers = probabilities.argmax(axis=1)
    labels = examples.labels_of()
    wrong = np.flatnonzero(answers != labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:_WORST]
    captions = [f"{labels[row]} as {answers[row]} {probabilities[row].max():.0%}" for row in worst]
    return {
        "Learning curves": drawn.curves(history),
        "Confusion": drawn.confusion(labels, answers, TENSORS.labels),
        "Calibration": drawn.calibration(probabilities.max(axis=1), answers == labels),
        "Worst mistakes": drawn.gallery(examples.inputs["image"][worst], captions),
    }


def disagreements(examples: Examples, first: Outputs, second: Outputs) -> dict[str, bytes]:
    """Digits that two versions classify differently, at most 40, the most confident first."""
    then, now = np.asarray(first["probabilities"]), np.asarray(second["probabilities"])
    rows = np.flatnonzero(then.argmax(axis=1) != now.argmax(axis=1))
    rows = rows[np.argsort(-now[rows].max(axis=1), kind="stable")][:_SHOWN]
    captions = [
        f"{examples.labels_of()[row]}: {then[row].argmax()} then {now[row].argmax()}"
        for row in rows
    ]
    return {"Where they disagree": drawn.gallery(examples.inputs["image"][rows], captions)}
