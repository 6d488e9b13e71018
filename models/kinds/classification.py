"""Classification: one class of a few, by probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from overnight.models.examples import Examples, Outputs
from overnight.models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Gate,
    MaximumRegression,
    SamePredictions,
    WithinBudget,
)
from overnight.models.metrics.classes import class_rows
from overnight.models.metrics.classification import (
    Labels,
    calibration_error,
    calibration_floor,
    classification_rows,
)
from overnight.models.metrics.evaluation import Floats, Mask, RowMetric
from overnight.models.metrics.measuring import measured, units_of
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import Schema, TensorSpec


@dataclass(frozen=True)
class Classification:
    """One class of a few: its output, metrics and gates.

    Labels are indices of `classes`. `positive` is the class that is looked for, of two: precision,
    recall, F1 and areas under curves are of it, and of the last class where none is named; with
    more than two classes they are means over classes. `output` is the name of the probabilities.
    """

    classes: tuple[str, ...]
    positive: str = ""
    output: str = "probabilities"

    def __post_init__(self) -> None:
        """Check the classes.

        Raises:
            ConfigurationError: fewer than two, or a positive class that is none of two.
        """
        if len(set(self.classes)) < max(2, len(self.classes)):
            raise ConfigurationError(
                f"Classification.classes: expected two names or more, each once, found "
                f"{self.classes}; correct the model's classes"
            )
        if self.positive and (self.positive not in self.classes or len(self.classes) != 2):
            raise ConfigurationError(
                f"Classification.positive: expected one of two classes, found {self.positive!r} "
                f"and the classes {', '.join(self.classes)}; leave it out with more than two"
            )

    def schema(self, *inputs: TensorSpec) -> Schema:
        """The signature of a classifier of these inputs: probabilities, FP32 [n, classes]."""
        probabilities = TensorSpec(
            name=self.output,
            datatype="FP32",
            shape=(len(self.classes),),
            minimum=0,
            maximum=1,
            description="how likely each class is",
        )
        return Schema(inputs=inputs, outputs=(probabilities,), labels=self.classes)

    def measure(self, holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
        """Every metric for gates and reports; those of single classes for the whole alone.

        Rows of a group are resampled together.
        """
        labels, probabilities = self._arrays(holdout, outputs)
        whole = {"": np.ones(len(labels), np.bool_), **holdout.slices}
        rows = self.per_row(holdout, outputs)
        single = {f"{metric} of {name}" for metric in _BY_CLASS for name in self.classes}
        return (
            *measured((row for row in rows if row.metric not in single), holdout.slices),
            *(
                calibration
                for name, mask in whole.items()
                for calibration in _calibration(labels[mask], probabilities[mask], name)
            ),
            *measured((row for row in rows if row.metric in single), {}),
        )

    def per_row(self, holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
        """The metrics that gates compare."""
        labels, probabilities = self._arrays(holdout, outputs)
        units = units_of(holdout)
        return (
            *(replace(row, units=units) for row in classification_rows(labels, probabilities)),
            *class_rows(labels, probabilities, self.classes, positive=self._positive, units=units),
        )

    def correct(self, holdout: Examples, outputs: Outputs) -> Mask:
        """Which rows were answered right, [n]."""
        labels, probabilities = self._arrays(holdout, outputs)
        right: Mask = probabilities.argmax(axis=1) == labels
        return right

    def gates(
        self,
        at_least: Mapping[str, float],
        *,
        at_most: Mapping[str, float] | None = None,
        margin: float,
        metric: str = "accuracy",
        minimum_rows: int = 100,
    ) -> tuple[Gate, ...]:
        """Bounds on metrics by name, better than always the most frequent class, not worse than
        the champion, the same answers in serving, and a budget.

        Args:
            margin: how much worse than the champion a version may at most be, in units of `metric`.
            minimum_rows: how many rows suffice for comparisons.
        """
        return (
            *(AtLeast(name, bound) for name, bound in at_least.items()),
            *(AtMost(name, bound) for name, bound in (at_most or {}).items()),
            BetterThan("accuracy", baseline="majority_accuracy"),
            MaximumRegression(margin, metric=metric, minimum_rows=minimum_rows),
            SamePredictions(tolerance=0.25, changed_share=0.01),
            WithinBudget(p99_ms=250, resident_mb=250, size_mb=5),
        )

    @property
    def _positive(self) -> int | None:
        if len(self.classes) > 2:
            return None
        return self.classes.index(self.positive) if self.positive else 1

    def _arrays(self, holdout: Examples, outputs: Outputs) -> tuple[Labels, Floats]:
        probabilities = np.asarray(outputs[self.output], np.float64)
        return holdout.labels_of(self.output).astype(np.int64), probabilities


_BY_CLASS = ("recall", "precision", "f1")


def _calibration(labels: Labels, probabilities: Floats, slice: str) -> tuple[Measurement, ...]:
    n = len(labels)
    error, floor = calibration_error(labels, probabilities), calibration_floor(probabilities)
    return (
        Measurement(metric="calibration_error", slice=slice, value=error, n=n),
        Measurement(metric="calibration_floor", slice=slice, value=floor, n=n),
    )
