"""Starter: a forecast of sales with an interval."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.evaluation import RowMetric
from overnight.models.metrics.regression import Floats, interval_rows, intervals
from overnight.store.registry.manifest import Measurement
from tests.support.small_models.sales.gates import DATA_GATES, GATES
from tests.support.small_models.sales.schema import TENSORS, TOLERANCE, examples
from tests.support.small_models.sales.source import open_source


def trivial(holdout: Examples) -> Mapping[str, Floats]:
    """Baseline without a model: the sales of a week ago, [n]."""
    return {"week_ago": np.asarray(holdout.inputs["week_ago"], np.float64)}


def measure(holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    """Every metric for gates and reports, from `units` [n, 3]."""
    answered, labels = _numbers(holdout, outputs)
    return intervals(labels, answered, trivial(holdout), holdout.slices)


def per_row(holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
    """The metrics that gates compare, row by row."""
    answered, labels = _numbers(holdout, outputs)
    return interval_rows(labels, answered, trivial(holdout))


def correct(holdout: Examples, outputs: Outputs) -> NDArray[np.bool_]:
    """Which true values lie within their interval, [n]."""
    answered, labels = _numbers(holdout, outputs)
    inside: NDArray[np.bool_] = (answered[:, 0] <= labels) & (labels <= answered[:, 2])
    return inside


def _numbers(holdout: Examples, outputs: Outputs) -> tuple[Floats, Floats]:
    return np.asarray(outputs["units"], np.float64), holdout.labels_of().astype(np.float64)


DEFINITION = ModelDefinition(
    name="starter",
    title="Starter",
    network="tests.support.small_models.sales.network",
    pictures="overnight.models.plots.regression",
    tensors=TENSORS,
    gates=GATES,
    settings=TrainingSettings(
        epochs=80,
        batch_rows=32,
        learning_rate=0.01,
        seed=1,
        validation_share=0.1,
        patience_epochs=20,
    ),
    open_source=open_source,
    examples=examples,
    measure=measure,
    correct=correct,
    data_gates=DATA_GATES,
    per_row=per_row,
    tolerance=TOLERANCE,
)
