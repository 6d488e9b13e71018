"""Examples: rows as input arrays of a network, with their labels; and its outputs as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class Examples:
    """Rows as a network takes them: `inputs` by tensor name, and `labels`, all of n rows.

    `slices` are boolean masks of n rows by name.
    """

    inputs: Mapping[str, Array]
    labels: Array
    slices: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.labels)
