"""Handwritten digits: the genuine MNIST, arriving night by night."""

import numpy as np
from numpy.typing import NDArray

from models.definition import Examples, ModelDefinition, Outputs, TrainingSettings
from models.digits.data_gates import DATA_GATES
from models.digits.gates import GATES, PERTURBATIONS
from models.digits.schema import TENSORS, examples
from models.digits.source import DigitsSource
from models.evaluation import RowMetric
from models.gates import MinimumImprovement
from models.metrics import classification, classification_rows
from models.tuning import Choice, Range
from store.manifest import Measurement


def measure(holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    """Every metric the gates ask for, from probabilities [n, 10]."""
    probabilities = np.asarray(outputs["probabilities"], np.float64)
    return classification(holdout.labels.astype(np.int64), probabilities, holdout.slices)


def per_row(holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
    """What the gates compare, row by row."""
    probabilities = np.asarray(outputs["probabilities"], np.float64)
    return classification_rows(holdout.labels.astype(np.int64), probabilities)


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
    data_gates=DATA_GATES,
    perturbations=PERTURBATIONS,
    warm=TrainingSettings(
        epochs=2,
        batch_rows=128,
        learning_rate=0.004,
        seed=1,
        validation_share=0.04,
        patience_epochs=2,
    ),
    # A thousand digits a night are enough to see a better version, should the writers change back.
    returning=MinimumImprovement(margin=0),
    tunable={
        "learning_rate": Range(0.005, 0.05, log=True),
        "batch_rows": Choice((64, 128, 256)),
        "epochs": Range(6, 16),
    },
    per_row=per_row,
)
