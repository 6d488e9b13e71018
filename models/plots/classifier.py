"""Plots for the report of any classifier."""

from collections.abc import Mapping, Sequence

import numpy as np

from overnight.models.examples import Examples, Outputs
from overnight.models.plots import plots as drawn


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, confusion and calibration."""
    probabilities = np.asarray(outputs["probabilities"])
    answers = probabilities.argmax(axis=1)
    names = [str(number) for number in range(probabilities.shape[1])]
    return {
        "Learning curves": drawn.curves(history),
        "Confusion": drawn.confusion(examples.labels_of("probabilities"), answers, names),
        "Calibration": drawn.calibration(
            probabilities.max(axis=1), answers == examples.labels_of("probabilities")
        ),
    }


def disagreements(examples: Examples, first: Outputs, second: Outputs) -> dict[str, bytes]:
    """The confusion of each of two versions, on the rows that they answer differently."""
    then, now = (np.asarray(outputs["probabilities"]) for outputs in (first, second))
    names = [str(number) for number in range(then.shape[1])]
    rows = np.flatnonzero(then.argmax(axis=1) != now.argmax(axis=1))
    return {
        f"Where they disagree, {which}": drawn.confusion(
            examples.labels_of("probabilities")[rows], answers[rows].argmax(axis=1), names
        )
        for which, answers in (("the first", then), ("the second", now))
    }
