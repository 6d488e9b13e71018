"""Inputs that are made of columns of numbers: how rows of a table become tensors of any shape."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from overnight.models.examples import Array, Examples
from overnight.store.errors import ConfigurationError
from overnight.store.schema import NUMPY_TYPES, TensorSpec


@dataclass(frozen=True)
class NumberColumns:
    """Rows with a column for each number of each input, and for each label.

    Attributes:
        inputs: the tensors.
        columns: the columns of each input by its name, in the order of its numbers; an input that
            is not named has one column of its own name.
        labels: the column of each output's labels. An output that is not named has none.
        classes: the names of an output's classes, in order; labels are these names, or numbers
            from 0 on. An output without classes has labels of numbers.
    """

    inputs: tuple[TensorSpec, ...]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    texts: bool = False

    def __post_init__(self) -> None:
        """Check that an input has as many columns as numbers.

        Raises:
            ConfigurationError: with both.
        """
        for spec in self.inputs:
            expected, given = math.prod(spec.shape), len(self._columns(spec))
            if expected != given:
                raise ConfigurationError(
                    f"NumberColumns: {spec.name} has {expected:,} numbers of shape "
                    f"{list(spec.shape)}, and {given:,} columns; name a column for each"
                )

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns of all inputs: rows that are alike in these are the same row."""
        return tuple(name for spec in self.inputs for name in self._columns(spec))

    @property
    def schema(self) -> pa.Schema:
        """The columns of every file, by name and type, none with gaps."""
        kinds = {
            name: pa.from_numpy_dtype(np.dtype(NUMPY_TYPES[spec.datatype]))
            for spec in self.inputs
            for name in self._columns(spec)
        }
        for output, name in self.labels.items():
            is_text = self.texts and output in self.classes
            kinds[name] = pa.string() if is_text else pa.float32()
            if output in self.classes and not is_text:
                kinds[name] = pa.int32()
        return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])

    def examples(self, rows: pa.Table) -> Examples:
        """The tensors, [n, …] by name, and the labels of each output that has some, [n]."""
        inputs = {
            spec.name: np.column_stack(
                [rows.column(name).to_numpy() for name in self._columns(spec)]
            )
            .astype(NUMPY_TYPES[spec.datatype])
            .reshape(-1, *spec.shape)
            for spec in self.inputs
        }
        labels = {output: self._labels(rows, output) for output in self.labels}
        only = next(iter(labels.values())) if len(labels) == 1 else labels
        return Examples(inputs, only)

    def _columns(self, spec: TensorSpec) -> Sequence[str]:
        return self.columns.get(spec.name, (spec.name,))

    def _labels(self, rows: pa.Table, output: str) -> Array:
        values = rows.column(self.labels[output])
        if not pa.types.is_string(values.type):
            return np.asarray(values.to_numpy())
        number = {name: place for place, name in enumerate(self.classes[output])}
        # An unknown name raises KeyError, which data gates report with the arrival it came with.
        return np.array([number[name] for name in values.to_pylist()], np.int64)
