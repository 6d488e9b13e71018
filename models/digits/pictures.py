"""What a person wants to see of a night's digits."""

from collections.abc import Mapping, Sequence

import numpy as np

from models import pictures as drawn
from models.definition import Examples, Outputs
from models.digits.schema import TENSORS

_WORST = 24


def pictures(
    examples: Examples, outputs: Outputs, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    """Learning curves, the confusion of digits, and the mistakes made with most confidence."""
    probabilities = np.asarray(outputs["probabilities"])
    answers = probabilities.argmax(axis=1)
    labels = examples.labels
    wrong = np.flatnonzero(answers != labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:_WORST]
    captions = [f"{labels[row]} as {answers[row]} {probabilities[row].max():.0%}" for row in worst]
    return {
        "Learning curves": drawn.curves(history),
        "Confusion": drawn.confusion(labels, answers, TENSORS.labels),
        "Worst mistakes": drawn.gallery(examples.inputs["image"][worst], captions),
    }
