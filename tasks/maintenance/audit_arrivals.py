"""Audits landed arrivals: their files must still have the bytes that were delivered."""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Landing
from overnight.store.errors import CorruptTable, NotFound
from overnight.store.maintenance import audit_rules
from overnight.store.maintenance.audit_rules import Observation, error
from overnight.store.objects.bucket import Bucket

_THREADS = 8
_LOST = "this file was delivered with an arrival that is not ingested yet, and is missing"
_OTHER = "this file of an arrival that is not ingested yet has other bytes than were delivered"


def audit_pending(
    bucket: Bucket,
    table: Callable[[str, str], Dataset],
    arrivals: Iterable[Arrival],
    present: Collection[str],
) -> Iterator[Observation]:
    """Read every file of some arrivals; `present` are the keys of the bucket.

    Missing files of an ingested arrival are no damage: ingest clears them away.
    """
    for arrival in arrivals:
        damaged = _damaged_files(bucket, arrival)
        # Read after the files: ingest commits an arrival before it clears its files.
        if not damaged or arrival.name in _ingested(table(arrival.model, "rows")):
            continue
        for key in map(arrival.key, damaged):
            if key in present:
                yield error(key, _OTHER, audit_rules.REPLACE)
            else:
                yield error(key, _LOST, is_missing=True)


def _damaged_files(bucket: Bucket, arrival: Arrival) -> list[str]:
    """The files whose bytes are not those delivered; at most `_THREADS` are in memory."""

    def is_intact(file: str) -> bool:
        return Landing(bucket, arrival.model).read_file(arrival, file) is not None

    with ThreadPoolExecutor(_THREADS) as pool:
        intact = pool.map(is_intact, arrival.files)
        return [file for file, good in zip(arrival.files, intact, strict=True) if not good]


def _ingested(table: Dataset) -> Collection[str]:
    try:
        return table.arrival_names()
    except (NotFound, CorruptTable):
        # The audit of tables reports it.
        return ()
