"""Several outputs: each is measured by its own kind, under its own name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Protocol

import numpy as np

from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.equivalence import Tolerance
from overnight.models.metrics.evaluation import Mask, RowMetric
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import Schema, TensorSpec


class OutputKind(Protocol):
    """What `Classification`, `Regression` and `Embedding` have in common."""

    @property
    def output(self) -> str: ...

    def schema(self, *inputs: TensorSpec) -> Schema: ...

    def measure(self, holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]: ...

    def per_row(self, holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]: ...

    def correct(self, holdout: Examples, outputs: Outputs) -> Mask: ...


@dataclass(frozen=True)
class Several:
    """Several outputs: one signature, and metrics named `<output>.<metric>`, such as `kind.recall`.

    The first is the prediction that pages show. An answer counts as right when every output's is,
    and so does `accuracy`, which gates compare where they name no other metric.
    """

    kinds: tuple[OutputKind, ...]

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ConfigurationError: there are none, or two have one name.
        """
        names = [kind.output for kind in self.kinds]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(
                f"Several.kinds: expected an output name for each, found {', '.join(names)}; give "
                'each its own: Classification(classes, output="colour")'
            )

    def schema(self, *inputs: TensorSpec) -> Schema:
        """The signature of all outputs; each classifier's output names its own classes."""
        parts = [kind.schema(*inputs) for kind in self.kinds]
        return Schema(
            inputs=inputs,
            outputs=tuple(
                spec.model_copy(update={"labels": part.classes(spec.name)}) if place else spec
                for place, part in enumerate(parts)
                for spec in part.outputs
            ),
            labels=parts[0].labels,
        )

    @property
    def tolerance(self) -> Mapping[str, Tolerance]:
        """The tolerance of each output that has one of its own."""
        tolerances: dict[str, Any] = {
            kind.output: getattr(kind, "tolerance", None) for kind in self.kinds
        }
        return {output: own for output, own in tolerances.items() if own is not None}

    def measure(self, holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
        """Every metric of every output, whole and by slice."""
        return tuple(
            measurement.model_copy(update={"metric": f"{kind.output}.{measurement.metric}"})
            for kind in self.kinds
            for measurement in kind.measure(holdout, outputs)
        )

    def per_row(self, holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
        """The metrics that gates compare."""
        return tuple(
            replace(row, metric=f"{kind.output}.{row.metric}")
            for kind in self.kinds
            for row in kind.per_row(holdout, outputs)
        )

    def correct(self, holdout: Examples, outputs: Outputs) -> Mask:
        """Which rows every output answers right, [n]."""
        rights = (kind.correct(holdout, outputs) for kind in self.kinds)
        return reduce(np.logical_and, rights)
