"""What training got on a day: some rows of the arrivals that were ingested on it."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.feedback_arrivals import parse_feedback_name
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.stamps import ARRIVAL_COLUMNS

# Twice as many are in memory at most. More rows show no smaller difference that would matter.
MOST_ROWS = 10_000


def arrived(
    rows: Dataset,
    days: Collection[date],
    *,
    without: Collection[str] = (),
    declared: DeclaredColumns | None = None,
    most_rows: int = MOST_ROWS,
) -> dict[date, pa.Table]:
    """At most `most_rows` rows, in the source's columns, of what was ingested on each day (UTC).

    Only the files of those arrivals are read. Rows are chosen by chance, and the same each time.
    Days without any row are left out.

    Args:
        without: arrivals that training does not read.
        declared: gives columns that came later their defaults.

    Raises:
        StoreUnavailable, StoreDenied, CorruptTable
    """
    chosen = {}
    for day, arrivals in arrivals_of_days(rows.arrival_times(), days, without=without).items():
        # A day's number as the seed: a run that is repeated sees the same rows.
        sampled = sample(rows.rows_of(arrivals), most_rows, seed=day.toordinal())
        if sampled is not None:
            filled = sampled if declared is None else declared.filled(sampled)
            chosen[day] = filled.drop_columns(list(ARRIVAL_COLUMNS))
    return chosen


def arrivals_of_days(
    times: Mapping[str, datetime], days: Collection[date], *, without: Collection[str] = ()
) -> dict[date, tuple[str, ...]]:
    """The arrivals that were ingested on each day, by the times of all of them, the first first.

    The first arrival of a dataset is its history, and of no day. Labelled answers come from serving
    themselves, and are no second sample.
    """
    first = next(iter(times), None)
    chosen: dict[date, tuple[str, ...]] = {}
    for name, at in times.items():
        day = at.astimezone(UTC).date()
        other = name == first or name in without or parse_feedback_name(name) is not None
        if day in days and not other:
            chosen[day] = (*chosen.get(day, ()), name)
    return chosen


def sample(batches: Iterable[pa.RecordBatch], most: int, *, seed: int) -> pa.Table | None:
    """At most so many of the rows, each equally likely, in their order; None without rows."""
    chance = np.random.default_rng(seed)
    parts: list[pa.RecordBatch] = []
    drawn: list[NDArray[np.float64]] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        parts.append(batch)
        drawn.append(chance.random(batch.num_rows))
        if sum(map(len, drawn)) > 2 * most:
            parts, drawn = _smallest(parts, drawn, most)
    return pa.Table.from_batches(_smallest(parts, drawn, most)[0]) if parts else None


def _smallest(
    parts: list[pa.RecordBatch], drawn: list[NDArray[np.float64]], most: int
) -> tuple[list[pa.RecordBatch], list[NDArray[np.float64]]]:
    """The rows that drew the smallest numbers, and those numbers."""
    numbers = np.concatenate(drawn)
    if len(numbers) <= most:
        return parts, drawn
    limit = np.partition(numbers, most)[most]
    chosen = [each < limit for each in drawn]
    return (
        [part.filter(pa.array(own)) for part, own in zip(parts, chosen, strict=True)],
        [each[own] for each, own in zip(drawn, chosen, strict=True)],
    )
