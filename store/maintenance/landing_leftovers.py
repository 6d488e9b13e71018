"""Finds and removes what deliveries left in the landing that were refused or cut short.

An arrival becomes visible by its `arrival.json`, written last. Where the day of a delivery is long
over and there is none, nothing refers to its files.
"""

from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from overnight.store.datasets.landing import MANIFEST
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket

_AT_ONCE = 8


@dataclass(frozen=True)
class Leftover:
    """The files of one delivery that never became visible: sizes in bytes by their keys."""

    prefix: str
    files: Mapping[str, int]

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())


def leftovers(bucket: Bucket, model: str, *, grace_days: float, now: datetime) -> list[Leftover]:
    """The deliveries of days that ended more than `grace_days` ago, without an `arrival.json`."""
    landing = keys.landing(model)
    deliveries: dict[str, dict[str, int]] = defaultdict(dict)
    for key, size_bytes in bucket.sizes_below(landing).items():
        date, _, rest = key.removeprefix(f"{landing}/").partition("/")
        name, _, file = rest.partition("/")
        # Keys outside the grammar are nobody's files: they can be neither read nor removed.
        if file and keys.is_date(date) and keys.is_key(key) and _is_over(date, grace_days, now):
            deliveries[f"{landing}/{date}/{name}"][key] = size_bytes
    return [
        Leftover(prefix, files)
        for prefix, files in sorted(deliveries.items())
        if f"{prefix}/{MANIFEST}" not in files
    ]


def remove(bucket: Bucket, leftover: Leftover) -> bool:
    """Remove the files of a delivery; False if it has become visible meanwhile."""
    if MANIFEST in bucket.names_below(leftover.prefix):
        return False
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(bucket.remove, leftover.files))
    return True


def _is_over(date: str, grace_days: float, now: datetime) -> bool:
    try:
        begun = datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return begun + timedelta(days=1 + grace_days) <= now
