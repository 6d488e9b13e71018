"""How answers say which of their rows are unlike what the version learned from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.novelty_check import LISTED_ROWS, NoveltyCheck

Array = NDArray[Any]

UNLIKE_TRAINING_COUNT = "unlike_training_count"


def rows_text(ratios: Array) -> str:
    """The unlike rows as a header has them: `0,3`; of more than 128 the first, and `...`."""
    rows = np.flatnonzero(ratios > 1).tolist()
    more = ["..."] if len(rows) > LISTED_ROWS else []
    return ",".join([*map(str, rows[:LISTED_ROWS]), *more])


def count(ratios: NDArray[Any]) -> int:
    """How many rows are unlike."""
    return int((ratios > 1).sum())


def wanted(outputs: Sequence[str], check: NoveltyCheck | None) -> Sequence[str]:
    """What to ask a version for, so that it flags unlike rows."""
    return outputs if check is None else [*outputs, UNLIKE_TRAINING]
