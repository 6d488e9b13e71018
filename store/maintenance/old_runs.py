"""Finds and removes records of runs of months that are long over.

A run leaves two records of about 1 kB each, and they are for display only: pages show the newest
months, trends of durations a year.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket

# So that every month can be compared with the same one a year ago.
KEPT_DAYS = 400
_NEWEST_MONTHS = 2
_AT_ONCE = 8


@dataclass(frozen=True)
class MonthOfRuns:
    """The records of one month: sizes in bytes by their keys."""

    model: str
    month: str
    files: Mapping[str, int]

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())


def old_runs(bucket: Bucket, model: str, *, days: float, now: datetime) -> list[MonthOfRuns]:
    """The months that ended more than 400 and more than `days` days ago.

    The newest two that have records stay in any case: a model that rests has a page as well.
    """
    prefix = keys.runs(model)
    months = sorted(name for name in bucket.names_below(prefix) if _begin(name))
    oldest = now - timedelta(days=max(days, KEPT_DAYS))
    ended = []
    for month in months[:-_NEWEST_MONTHS]:
        begun = _begin(month)
        if begun is not None and begun + timedelta(days=31) < oldest:
            sizes = bucket.sizes_below(f"{prefix}/{month}").items()
            files = {key: size for key, size in sizes if keys.is_key(key)}
            ended.append(MonthOfRuns(model, month, files))
    return [each for each in ended if each.files]


def remove(bucket: Bucket, month: MonthOfRuns) -> None:
    """Remove the records of a month; nothing writes to it any more."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(bucket.remove, month.files))


def _begin(month: str) -> datetime | None:
    """The first moment of a month of the form `2026-11`, or None for another name."""
    try:
        return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        return None
