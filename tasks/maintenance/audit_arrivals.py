"""Awaiting: whether the files of arrivals that wait are still those that were delivered."""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Landing
from overnight.store.errors import CorruptTable, NotFound
from overnight.store.maintenance import audit_rules
from overnight.store.maintenance.audit_rules import Observation, error
from overnight.store.objects.bucket import Bucket

_AT_ONCE = 8
_LOST = "this file of an arrival that waits was delivered, and is gone"
_OTHER = "this file of an arrival that waits has other bytes than were delivered"


def audit_pending(
    bucket: Bucket,
    table: Callable[[str, str], Dataset],
    arrivals: Iterable[Arrival],
    there: Collection[str],
) -> Iterator[Observation]:
    """Read every file of arrivals that lie in their places; `there` are the keys of the bucket.

    What the dataset has taken in is cleared away, so that nothing of it is missed.
    """
    for arrival in arrivals:
        bad = _bad(bucket, arrival)
        # Asked after the files were: whoever clears has committed before.
        if not bad or arrival.name in _taken(table(arrival.model, "rows")):
            continue
        for key in map(arrival.key, bad):
            if key in there:
                yield error(key, _OTHER, audit_rules.REPLACE)
            else:
                yield error(key, _LOST, is_missing=True)


def _bad(bucket: Bucket, arrival: Arrival) -> list[str]:
    """The files that are no longer what was delivered, a few of them in memory at a time."""

    def is_whole(file: str) -> bool:
        return Landing(bucket, arrival.model).read_file(arrival, file) is not None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        whole = pool.map(is_whole, arrival.files)
        return [file for file, well in zip(arrival.files, whole, strict=True) if not well]


def _taken(table: Dataset) -> Collection[str]:
    try:
        return table.taken()
    except (NotFound, CorruptTable):
        # Told by whoever reads the table as such.
        return ()
