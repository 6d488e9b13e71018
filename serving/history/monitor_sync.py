"""Copies monitor records from the store: live quality, drift, alarms, and what followed.

A record never changes, so each is read once: while nothing new was written, one small GET says so.
"""

import logging
from collections.abc import Sequence

from overnight.store.errors import CorruptRecord
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.monitoring import MonitorLog, MonitorRecord, RecentRecords

logger = logging.getLogger(__name__)

# One record a day: three months of them.
REMEMBERED_RECORDS = 90
# Of each record, those with the most evidence; a wide table may have hundreds of features.
SHOWN_DISTANCES = 60
# Records that several runs wrote since the last look, in one go.
_AT_ONCE = 20


class MonitorSync:
    """One model's monitor records."""

    def __init__(self, bucket: Bucket, model: str) -> None:
        self._log = MonitorLog(bucket, model)
        self._next = 0

    def update(self, known: Sequence[MonitorRecord]) -> RecentRecords:
        """The `known` and the new records, newest first, and which could not be read.

        Records that an outage keeps from being read are read the next time.
        """
        if not self._next and not known:
            recent = self._log.recent(REMEMBERED_RECORDS)
            # A log that begins with a damaged record has none that is known.
            self._next = self._log.last_sequence() + 1
            return RecentRecords(tuple(map(shown, recent.records)), recent.damaged)
        self._next = max(self._next, known[0].sequence + 1 if known else 1)
        new, damaged = self._read_new()
        return RecentRecords((*reversed(new), *known)[:REMEMBERED_RECORDS], tuple(damaged))

    def _read_new(self) -> tuple[list[MonitorRecord], list[str]]:
        new: list[MonitorRecord] = []
        damaged: list[str] = []
        for _ in range(_AT_ONCE):
            try:
                record = self._log.at(self._next)
            except CorruptRecord as error:
                logger.warning("left out of the monitor records: %s", error)
                damaged.append(str(error))
            else:
                if record is None:
                    break
                new.append(shown(record))
            self._next += 1
        return new, damaged


def shown(record: MonitorRecord) -> MonitorRecord:
    """A record without what only the next run of the monitor needs, and with the features that
    have the most evidence.
    """
    most = sorted(record.distances, key=lambda distance: -(distance.e or 0))[:SHOWN_DISTANCES]
    detectors = tuple(state.model_copy(update={"details": {}}) for state in record.detectors)
    return record.model_copy(update={"distances": tuple(most), "detectors": detectors})
