"""Small pictures and what they show: a model to begin from."""

import numpy as np
from numpy.typing import NDArray

from models.definition import Examples, ModelDefinition, Outputs, TrainingSettings
from models.evaluation import RowMetric
from models.metrics import classification, classification_rows
from models.starters.digits.gates import DATA_GATES, GATES
from models.starters.digits.schema import TENSORS, examples
from models.starters.digits.source import open_source
from store.manifest import Measurement


def measure(holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    """Every metric the gates ask for, from probabilities [n, classes]."""
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
    name="starter",
    title="Starter",
    network="models.starters.digits.network",
    pictures="models.classifier_pictures",
    tensors=TENSORS,
    gates=GATES,
    settings=TrainingSettings(
        epochs=60,
        batch_rows=32,
        learning_rate=0.005,
        seed=1,
        validation_share=0.1,
        patience_epochs=15,
    ),
    open_source=open_source,
    examples=examples,
    measure=measure,
    correct=correct,
    data_gates=DATA_GATES,
    per_row=per_row,
)
