"""Data gates: constraints that rows must meet before a model is trained on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.drift import ColumnSample, ShiftGate

Array = NDArray[np.generic]
Numbers = Mapping[str, Array]


def nothing(_: Numbers) -> Numbers:
    """The default: no statistics."""
    return {}


@dataclass(frozen=True)
class DataGates:
    """Constraints on rows, and on the drift of an arrival from what the champion was trained on.

    Attributes:
        columns: types and ranges of the columns.
        minimum_rows, class_rows: least rows of a snapshot, and of each of its classes.
        repeated_share: the largest share of an arrival's rows that may repeat others of it.
        fresh_days: the largest age in days of a snapshot's newest value in column `fresh_by`.
        judged_rows: arrivals with fewer rows are judged together.
        input_statistics: from n inputs, statistics by name, [n] each.
        output_statistics: the same from the champion's n outputs.
        shifts: gates on the drift of those statistics, of the labels as `label`, and of where the
            champion is right as `champion is right`.
        near_duplicate_keys: of n inputs; rows that look alike have the same key.
        near_duplicate_share: the largest share of the holdout that may have a key of an arrival.
        row_statistics: statistics from raw rows, for models whose rows alone are no examples.
        outlier_days: where rows have a `day`, the most days that one of an arrival may be from all
            others, its own and those of the dataset.
    """

    columns: tuple[Column, ...] = ()
    minimum_rows: int = 1
    class_rows: int = 20
    repeated_share: float = 0.5
    fresh_days: float | None = None
    fresh_by: str = "arrived_at"
    judged_rows: int = 30
    shifts: tuple[ShiftGate, ...] = ()
    input_statistics: Callable[[Numbers], Numbers] = nothing
    output_statistics: Callable[[Numbers], Numbers] = nothing
    near_duplicate_keys: Callable[[Numbers], Sequence[bytes]] | None = None
    near_duplicate_share: float = 0.0
    row_statistics: Callable[[pa.Table], ColumnSample] | None = None
    outlier_days: int | None = None
