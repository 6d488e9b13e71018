"""Simulated days: what serving recorded is dated back, between its shipping and its collection.

Nothing of the product has another clock for it. Serving stamps each record when it answers; its
segments wait in the bucket until they are collected, and there the days are put in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.s3 import S3Address
from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.segments import (
    MAXIMUM_SEGMENT_BYTES,
    decode,
    encode_answer,
    encode_label,
    parse_segment_name,
    segment_name,
)
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.tasks.monitoring.collect import Collected, collect

_HOST = "simulated-days"
# Inside a day answers come in the morning, and labels in the evening.
_ANSWERED, _LABELLED = timedelta(hours=8), timedelta(hours=18)


@dataclass
class SimulatedDays:
    """The spool of one model, whose records are given the dates of simulated days."""

    bucket: Bucket
    model: str

    def waiting(self) -> tuple[int, int]:
        """How many answers and labels wait in the spool with the dates that serving gave them."""
        records = [record for key in self._shipped() for record in self._records(key)]
        answers = sum(isinstance(record, AnsweredRequest) for record in records)
        return answers, len(records) - answers

    def date(self, midnight: datetime) -> int:
        """Date everything that waits to the day that begins at midnight; returns the records.

        Records keep their order; a second apart, which is more than serving takes.
        """
        dated = 0
        for key in self._shipped():
            incarnation, number = parse_segment_name(key.rsplit("/", 1)[1])
            moved = [
                _dated(record, midnight, dated + place)
                for place, record in enumerate(self._records(key))
            ]
            body = b"".join(map(_encoded, moved))
            name = segment_name(incarnation, number)
            self.bucket.create(keys.spool_segment(self.model, _HOST, name), body)
            self.bucket.remove(key)
            dated += len(moved)
        return dated

    def collect(self, address: S3Address, now: datetime) -> Collected:
        """Commit what was dated to the tables, as a monitor run at that time does first."""
        tables = PredictionTable.on_s3(address, self.model), LabelTable.on_s3(address, self.model)
        return collect(self.bucket, self.model, *tables, now=now)

    def _shipped(self) -> Sequence[str]:
        below = self.bucket.keys_below(keys.spool(self.model) + "/")
        return sorted(key for key in below if key.split("/")[2] != _HOST)

    def _records(self, key: str) -> Sequence[AnsweredRequest | SentLabel]:
        return list(decode(self.bucket.read(key, MAXIMUM_SEGMENT_BYTES)))


def _dated(
    record: AnsweredRequest | SentLabel, midnight: datetime, place: int
) -> AnsweredRequest | SentLabel:
    begin = _ANSWERED if isinstance(record, AnsweredRequest) else _LABELLED
    at = midnight + begin + timedelta(seconds=place)
    return replace(record, at_us=int(at.timestamp() * 1_000_000))


def _encoded(record: AnsweredRequest | SentLabel) -> bytes:
    if isinstance(record, AnsweredRequest):
        return encode_answer(record)
    return encode_label(record)
