"""Data gates: everything that a model declares about its rows before it learns from them."""

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
    """No numbers of anything."""
    return {}


@dataclass(frozen=True)
class DataGates:
    """What rows must be, and how far an arrival may differ from what the champion learned.

    Of a snapshot: `minimum_rows` altogether and `class_rows` of each class; the newest value of
    the column `fresh_by` at most `fresh_days` old. Of an arrival: at most `repeated_share` of its
    rows repeat others of it. Arrivals with fewer than `judged_rows` rows are judged together.

    `statistics` are numbers of each row's inputs, `answered` of the champion's outputs for it;
    `shifts` are the gates that hear of them, of the labels as `label`, and of where the champion
    is right as `champion is right`. `outline` gives rows that look alike the same bytes, and at
    most `alike_share` of the holdout may look like a row that arrived.

    Where rows tell a `day`, none of an arrival's may be more than `apart_days` days from all
    others, its own and those of the dataset.

    Where rows are no examples by themselves, `described` tells what to compare of them instead.
    """

    columns: tuple[Column, ...] = ()
    minimum_rows: int = 1
    class_rows: int = 20
    repeated_share: float = 0.5
    fresh_days: float | None = None
    fresh_by: str = "arrived_at"
    judged_rows: int = 30
    shifts: tuple[ShiftGate, ...] = ()
    statistics: Callable[[Numbers], Numbers] = nothing
    answered: Callable[[Numbers], Numbers] = nothing
    outline: Callable[[Numbers], Sequence[bytes]] | None = None
    alike_share: float = 0.0
    described: Callable[[pa.Table], ColumnSample] | None = None
    apart_days: int | None = None
