"""Embeddings: rows as directions, without labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from overnight.models.examples import Examples, Outputs
from overnight.models.gates import AtLeast, Gate, SamePredictions, WithinBudget
from overnight.models.metrics.equivalence import Tolerance
from overnight.models.metrics.evaluation import Floats, Mask, RowMetric
from overnight.models.metrics.measuring import measured
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import Schema, TensorSpec


@dataclass(frozen=True)
class Embedding:
    """An embedding: its output, metrics and gates.

    It has no labels, so nothing says which row is right; what is measured is whether rows are
    numbers at all, and how long they are. A served row counts as the network's while 1 minus the
    cosine of both is at most `same_within`.
    """

    output: str
    shape: tuple[int, ...]
    same_within: float = 0.001

    @property
    def tolerance(self) -> Tolerance:
        """How far a served row may point from the network's and count as the same."""
        return Tolerance(cosine=self.same_within)

    def spec(self) -> TensorSpec:
        """The output: FP32 [n, …]."""
        return TensorSpec(
            name=self.output, datatype="FP32", shape=self.shape, description="an embedding"
        )

    def schema(self, *inputs: TensorSpec) -> Schema:
        """The signature of a model that answers with nothing else."""
        return Schema(inputs=inputs, outputs=(self.spec(),))

    def measure(self, holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
        """`finite`, the share of rows that are numbers, and the mean `length`, by slice as well."""
        return measured(self.per_row(holdout, outputs), holdout.slices)

    def per_row(self, _holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
        """The same, row by row."""
        rows = self._rows(outputs)
        finite = np.isfinite(rows).all(axis=1)
        lengths = np.linalg.norm(np.where(np.isfinite(rows), rows, 0.0), axis=1)
        return (
            RowMetric("finite", finite.astype(float), "higher"),
            RowMetric("length", lengths, "higher"),
        )

    def correct(self, _holdout: Examples, outputs: Outputs) -> Mask:
        """Which rows are numbers, [n]: no more can be known without labels."""
        return np.asarray(np.isfinite(self._rows(outputs)).all(axis=1))

    def gates(self, at_least: Mapping[str, float] | None = None) -> tuple[Gate, ...]:
        """Every row is numbers, bounds on metrics by name, the same in serving, and a budget."""
        return (
            AtLeast("finite", 1.0),
            *(AtLeast(name, bound) for name, bound in (at_least or {}).items()),
            SamePredictions(tolerance={}, changed_share=0.01),
            WithinBudget(p99_ms=100, resident_mb=250, size_mb=5),
        )

    def _rows(self, outputs: Outputs) -> Floats:
        rows = np.asarray(outputs[self.output], np.float64)
        return rows.reshape(len(rows), -1)
