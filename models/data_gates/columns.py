"""Columns of a dataset's rows, declared by the same tensor specifications as requests."""

import math
from dataclasses import dataclass

import numpy as np

from overnight.store.errors import ConfigurationError
from overnight.store.schema import NUMPY_TYPES, TensorSpec


@dataclass(frozen=True)
class Column:
    """A column, declared by the tensor that its values become.

    A tensor with a shape is stored as raw bytes or as a list, one with `lengths` as a list. A share
    of up to `missing_share` of the values may be missing, when the tensor accepts that; with
    `unique` no value may occur twice. `categorical`: the values are names of categories, whose
    vocabulary is learned.
    """

    tensor: TensorSpec
    missing_share: float = 0.0
    unique: bool = False
    categorical: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.missing_share <= 1:
            raise ConfigurationError(
                f"column {self.name}: missing_share is a share from 0 to 1, not "
                f"{self.missing_share:g}"
            )
        if self.missing_share and not self.tensor.accepts_missing:
            raise ConfigurationError(
                f"column {self.name}: values may be missing only where the tensor accepts it; "
                "declare nullable=True, missing=Missing(value=…) or missing_share=0"
            )

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def row_bytes(self) -> int | None:
        """The size of a value in bytes, or None when it is a single one or its length varies."""
        if not self.tensor.shape or self.tensor.lengths:
            return None
        kind = np.dtype(NUMPY_TYPES[self.tensor.datatype])
        return math.prod(self.tensor.shape) * kind.itemsize

    @property
    def holds_names(self) -> bool:
        """Whether its texts are names of categories, in a vocabulary or yet to be learned."""
        return self.categorical or bool(self.tensor.vocabulary)

    def __str__(self) -> str:
        """The declaration as short text, such as `INT32 from 0 to 9`."""
        if self.tensor.lengths:
            return f"lists of up to {self.tensor.lengths[-1]} of {self.tensor.datatype}"
        if self.row_bytes is not None:
            sides = " × ".join(map(str, self.tensor.shape))
            return f"{sides} of {self.tensor.datatype}"
        low, high = self.tensor.minimum, self.tensor.maximum
        if low is None and high is None:
            return self.tensor.datatype
        at_least = "" if low is None else f" from {low:g}"
        return f"{self.tensor.datatype}{at_least}" + ("" if high is None else f" to {high:g}")
