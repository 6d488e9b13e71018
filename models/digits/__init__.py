"""Handwritten digits: the genuine MNIST, arriving night by night."""

import numpy as np
from numpy.typing import NDArray

from models.definition import Examples, ModelDefinition, Outputs, TrainingSettings
from models.digits.gates import GATES, PERTURBATIONS
from models.digits.schema import TENSORS, examples
from models.digits.source import DigitsSource
from models.metrics import classification
from store.manifest import Measurement


def measure(holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    """Every metric the gates ask for, from probabilities [n, 10]."""
    probabilities = np.asarray(outputs["probabilities"], np.float64)
    return classification(holdout.labels.astype(np.int64), probabilities, holdout.slices)


def correct(holdout: Examples, outputs: Outputs) -> NDArray[np.bool_]:
    """Which rows were answered right, [n]."""
    right: NDArray[np.bool_] = outputs["probabilities"].argmax(axis=1) == holdout.labels
    return right


DEFINITION = ModelDefinition(
    name="digits",
    title="Handwritten digits",
    network="models.digits.network",
    pictures="models.digits.pictures",
    tensors=TENSORS,
    gates=GATES,
    settings=TrainingSettings(
        epochs=10,
        batch_rows=128,
        learning_rate=0.02,
        seed=1,
        validation_share=0.04,
        # The rate is still high in the middle of the one cycle, and so are the losses: wait it out.
        patience_epochs=8,
    ),
    open_source=DigitsSource,
    examples=examples,
    measure=measure,
    correct=correct,
    minimum_rows=1_000,
    perturbations=PERTURBATIONS,
)
