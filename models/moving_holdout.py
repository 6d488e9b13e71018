"""A holdout for time series: the newest days of each snapshot instead of frozen rows."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from overnight.models.examples import Examples

# The column with the day of a row, for models with such a holdout.
DAY = "day"


def day_column(rows: pa.Table) -> pa.ChunkedArray:
    """The days of rows as whole days since 1970-01-01, [n], whether they are numbers or dates."""
    days = rows.column(DAY)
    return days.cast(pa.int32()) if pa.types.is_date32(days.type) else days


@dataclass(frozen=True)
class MovingHoldout:
    """The newest `days` days of a snapshot evaluate a version that is trained on the days before.

    Rows are held out by their column `day`, a date or whole days since 1970-01-01.
    `examples(before, rows)` are the held out rows as examples, each with inputs as they were known
    at its forecast; `before` are the rows of the earlier days.
    """

    days: int
    examples: Callable[[pa.Table, pa.Table], Examples]
