"""Regression: one number."""

from collections.abc import Mapping
from dataclasses import dataclass

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
from overnight.models.metrics.equivalence import Tolerance
from overnight.models.metrics.evaluation import Floats, Mask, RowMetric
from overnight.models.metrics.measuring import measured, units_of
from overnight.models.metrics.numbers import bias_row, number_rows
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import Schema, TensorSpec


@dataclass(frozen=True)
class Regression:
    """One number: its output, metrics and gates.

    An answer counts as right within `right_within` of the truth, in the unit of the number. A
    served one counts as the network's within a tenth of that (`tolerance`).
    """

    output: str
    right_within: float
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""

    def __post_init__(self) -> None:
        """Check `right_within`.

        Raises:
            ConfigurationError: it is not above 0.
        """
        if not self.right_within > 0:
            raise ConfigurationError(
                f"Regression.right_within: expected above 0, found {self.right_within}; "
                "give the error that is of no consequence"
            )

    @property
    def tolerance(self) -> Tolerance:
        """How far a served number may be from the network's and count as the same."""
        return Tolerance(absolute=self.right_within / 10, relative=0.001)

    def schema(self, *inputs: TensorSpec) -> Schema:
        """The signature of a regression from these inputs: one number, FP32 [n]."""
        number = TensorSpec(
            name=self.output,
            datatype="FP32",
            shape=(),
            minimum=self.minimum,
            maximum=self.maximum,
            description=self.description,
        )
        return Schema(inputs=inputs, outputs=(number,))

    def measure(self, holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
        """Every metric for gates and reports, whole and by slice; groups are resampled together."""
        truth, answered = self._arrays(holdout, outputs)
        bias = bias_row(truth, answered, units=units_of(holdout))
        rows = (*self.per_row(holdout, outputs), bias)
        return measured(rows, holdout.slices)

    def per_row(self, holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
        """The metrics that gates compare; `constant_mae` is of the best constant, the median."""
        truth, answered = self._arrays(holdout, outputs)
        median = np.full(len(truth), np.median(truth) if len(truth) else 0.0)
        right = self.correct(holdout, outputs).astype(np.float64)
        return (
            *number_rows(truth, answered, {"constant": median}, units=units_of(holdout)),
            RowMetric("right_share", right, "higher", units=units_of(holdout)),
        )

    def correct(self, holdout: Examples, outputs: Outputs) -> Mask:
        """Which answers are within `right_within` of the truth, [n]."""
        truth, answered = self._arrays(holdout, outputs)
        right: Mask = np.abs(answered - truth) <= self.right_within
        return right

    def gates(
        self,
        at_most: Mapping[str, float],
        *,
        at_least: Mapping[str, float] | None = None,
        margin: float,
        metric: str = "mae",
        minimum_rows: int = 100,
    ) -> tuple[Gate, ...]:
        """Bounds on metrics by name, better than any constant, not worse than the champion, the
        same answers in serving, and a budget.

        Args:
            margin: how much worse than the champion a version may at most be, in units of `metric`.
            minimum_rows: how many rows suffice for comparisons.
        """
        return (
            *(AtMost(name, bound) for name, bound in at_most.items()),
            *(AtLeast(name, bound) for name, bound in (at_least or {}).items()),
            BetterThan("mae", baseline="constant_mae"),
            MaximumRegression(margin, metric=metric, minimum_rows=minimum_rows),
            SamePredictions(tolerance=self.right_within, changed_share=0.01),
            WithinBudget(p99_ms=250, resident_mb=250, size_mb=5),
        )

    def _arrays(self, holdout: Examples, outputs: Outputs) -> tuple[Floats, Floats]:
        truth = holdout.labels_of(self.output).astype(np.float64)
        return truth, np.asarray(outputs[self.output], np.float64).reshape(len(truth))
