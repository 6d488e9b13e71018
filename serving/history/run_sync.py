"""Copies records of runs from the store: what began, how it ended, and what is due.

A record never changes, so each is read once; the folders of the newest two months are listed.
"""

from collections.abc import Sequence

from overnight.store.objects.bucket import Bucket
from overnight.store.registry.runs import RunRecord, Runs

# Two of each run; a busy model has ten runs a day.
REMEMBERED_RECORDS = 200


class RunSync:
    """One model's records of runs."""

    def __init__(self, bucket: Bucket, model: str) -> None:
        self._runs = Runs(bucket, model)
        self._seen: set[str] = set()

    def update(self, known: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
        """The `known` and the new records, newest first.

        Records that an outage keeps from being read are read the next time.
        """
        records = {(record.run, record.event, record.at): record for record in known}
        for key in self._runs.newest_keys()[-REMEMBERED_RECORDS:]:
            if key in self._seen:
                continue
            record = self._runs.read(key)
            self._seen.add(key)
            if record is not None:
                records[record.run, record.event, record.at] = record
        newest = sorted(records.values(), key=lambda record: record.at, reverse=True)
        return tuple(newest[:REMEMBERED_RECORDS])
