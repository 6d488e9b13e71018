"""Metrics functions for any classifier whose first output is `probabilities`.

`probabilities` are [n, classes], rows summing to one; labels are class indices, [n].
"""

import numpy as np
from numpy.typing import NDArray

from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.classification import classification, classification_rows
from overnight.models.metrics.evaluation import RowMetric
from overnight.store.registry.manifest import Measurement


def measure(holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    """Every metric for gates and reports, whole and by slice."""
    probabilities = np.asarray(outputs["probabilities"], np.float64)
    return classification(
        holdout.labels_of("probabilities").astype(np.int64), probabilities, holdout.slices
    )


def per_row(holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
    """The metrics that gates compare, row by row."""
    probabilities = np.asarray(outputs["probabilities"], np.float64)
    return classification_rows(holdout.labels_of("probabilities").astype(np.int64), probabilities)


def correct(holdout: Examples, outputs: Outputs) -> NDArray[np.bool_]:
    """Which rows were answered right, [n]."""
    right: NDArray[np.bool_] = outputs["probabilities"].argmax(axis=1) == holdout.labels_of(
        "probabilities"
    )
    return right


def same_class(first: Outputs, second: Outputs) -> NDArray[np.bool_]:
    """Where both have the same most likely class, [n]."""
    chosen = [answers["probabilities"].argmax(axis=1) for answers in (first, second)]
    same: NDArray[np.bool_] = chosen[0] == chosen[1]
    return same
