"""Gates that a version must pass, and data gates that rows must pass before training."""

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.gates import (
    AtLeast,
    BetterThan,
    Gate,
    MaximumRegression,
    SamePredictions,
    WithinBudget,
)
from overnight.store.schema import TensorSpec
from tests.support.small_models.strokes.schema import CLASSES
from tests.support.small_models.strokes.source import PIXELS

GATES: tuple[Gate, ...] = (
    AtLeast("accuracy", 0.9),
    BetterThan("accuracy", baseline="majority_accuracy"),
    # At most so much worse than the champion on the same rows.
    MaximumRegression(margin=0.05),
    # Exported and served over HTTP, it answers as it did in training.
    SamePredictions(tolerance=0.25, changed_share=0.01),
    WithinBudget(p99_ms=100, resident_mb=250, size_mb=5),
)

LABEL = TensorSpec(name="label", datatype="INT32", shape=(), vocabulary=CLASSES)


def pixel(name: str) -> Column:
    """One pixel's column: whole numbers from 0 to 255."""
    return Column(TensorSpec(name=name, datatype="INT32", shape=(), minimum=0, maximum=255))


DATA_GATES = DataGates(
    columns=(Column(LABEL), *map(pixel, PIXELS)), minimum_rows=100, class_rows=10
)
