"""Starter: classification of small images."""

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.models.metrics.classifier import correct, measure, per_row
from tests.support.small_models.strokes.gates import DATA_GATES, GATES
from tests.support.small_models.strokes.schema import TENSORS, examples
from tests.support.small_models.strokes.source import open_source

DEFINITION = ModelDefinition(
    name="starter",
    title="Starter",
    network="tests.support.small_models.strokes.network",
    pictures="overnight.models.plots.classifier",
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
