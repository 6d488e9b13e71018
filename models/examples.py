"""Examples: rows as input arrays of a model, with their labels; and its outputs as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from overnight.store.encoding import encode
from overnight.store.errors import ConfigurationError
from overnight.store.schema import Schema

Array = NDArray[np.generic]
Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class Examples:
    """n rows: `inputs` by tensor name as a client would send them, and their `labels`.

    Texts are object arrays of `str`, in which None is missing; a missing number is NaN. In the
    training process the inputs are encoded, and `tensors` is the schema that encoded them.

    Attributes:
        labels: [n, …] of the first output; or by the name of an output for models with several.
            An output without labels, such as an embedding, is left out.
        slices: masks by name, [n] each.
        weights: how much each row counts in the loss, float32 [n]; without them all count as 1.
        groups: [n]; a validation split never has a group on both sides.
        times: [n], in any unit that orders them; a split by time validates on the latest.
    """

    inputs: Mapping[str, Array]
    labels: Array | Mapping[str, Array]
    slices: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    weights: NDArray[np.float32] | None = None
    groups: Array | None = None
    times: Array | None = None
    tensors: Schema | None = None

    def __post_init__(self) -> None:
        """Check that everything is of n rows.

        Raises:
            ConfigurationError: with the part that has another number of rows.
        """
        n = self.n
        for name, array in self._parts():
            if len(array) != n:
                raise ConfigurationError(
                    f"examples: {name} has {len(array):,} rows, expected {n:,} as the labels have; "
                    "correct the model's `examples`"
                )

    def _parts(self) -> Iterator[tuple[str, Array]]:
        yield from self.inputs.items()
        yield from ((f"the labels of {name}", labels) for name, labels in self.by_output().items())
        yield from ((f"the slice {name}", mask) for name, mask in self.slices.items())
        for name in ("weights", "groups", "times"):
            if (array := getattr(self, name)) is not None:
                yield name, array

    @property
    def n(self) -> int:
        """The number of rows."""
        arrays = [*self.by_output().values(), *self.inputs.values()]
        return len(arrays[0]) if arrays else 0

    def by_output(self, first: str = "") -> Mapping[str, Array]:
        """The labels by output; those of a model with one output are named `first`."""
        return self.labels if isinstance(self.labels, Mapping) else {first: self.labels}

    def labels_of(self, output: str = "") -> Array:
        """The labels of an output, [n, …]; where labels are one array, that array.

        Raises:
            ConfigurationError: there are labels of several outputs, and none of this one.
        """
        if not isinstance(self.labels, Mapping):
            return self.labels
        if not output and len(self.labels) == 1:
            return next(iter(self.labels.values()))
        if output not in self.labels:
            raise ConfigurationError(
                f"there are labels of the outputs {', '.join(self.labels) or 'none'}, and none of "
                f"{output!r}; name one of those, or add its labels in the model's `examples`"
            )
        return self.labels[output]

    def encoded(self, tensors: Schema) -> Examples:
        """The same rows as the network of a schema takes them.

        Raises:
            UnencodableValue: a value that the schema does not allow.
        """
        return replace(self, inputs=encode(tensors, self.inputs), tensors=tensors)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Examples:
        """Some of the rows: by their places, in that order, or those of a mask [n]."""
        return replace(
            self,
            inputs=_rows_of(self.inputs, rows),
            labels=_rows_of(self.labels, rows)
            if isinstance(self.labels, Mapping)
            else self.labels[rows],
            slices={name: mask[rows] for name, mask in self.slices.items()},
            weights=None if self.weights is None else self.weights[rows],
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
        )


def _rows_of(
    arrays: Mapping[str, Array], rows: NDArray[np.integer] | NDArray[np.bool_]
) -> dict[str, Array]:
    return {name: array[rows] for name, array in arrays.items()}
