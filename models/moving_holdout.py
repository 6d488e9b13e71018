"""A holdout that moves: for rows that follow one another in time, the newest days judge."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from overnight.models.examples import Examples

# The column of a model with such a holdout that tells when: whole days since 1970-01-01.
DAY = "day"


@dataclass(frozen=True)
class MovingHoldout:
    """The newest `days` days of a snapshot judge what learned from the days before them.

    Rows are held out by their column `day`, an integer. `examples(before, rows)` are the held out
    rows as the network takes them, each told from what was known when it would have been asked:
    `before` are the rows of the earlier days.
    """

    days: int
    examples: Callable[[pa.Table, pa.Table], Examples]
