"""Monitor records: an append-only log of what each monitor run saw, and what followed from it."""

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from pydantic import Field

from overnight.store.errors import AlreadyExists, CorruptRecord
from overnight.store.objects import keys, sequence_log
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.registry.manifest import Measurement
from overnight.store.values import Value

FORMAT = 1
AlarmKind = Literal["quality", "inputs", "answers", "confidence", "skew"]


class LiveQuality(Value):
    """The quality of one version on the answers of a period that have labels.

    `coverage` is the share of `answers` that have a label; `slice` is empty for all rows.
    `estimated` is the accuracy that the probabilities themselves promise, without labels.
    """

    version: str
    slice: str = ""
    answers: int
    labels: int
    coverage: float
    measurements: tuple[Measurement, ...] = ()
    estimated: float | None = None


class LiveDistance(Value):
    """How far a feature's live values are from a reference: its distance, p- and e-value.

    `against` is `training` for drift, and `today` for skew: rows that training read of the same
    days. `e` is None where the day was not closed, or had too few rows.
    """

    kind: AlarmKind
    feature: str
    against: Literal["training", "today"]
    distance: float
    n: int
    p: float | None = None
    e: float | None = None


class DetectorState(Value):
    """The state of one sequential detector after this record; it alarms from `level` on."""

    name: str
    value: float
    level: float
    observations: int
    since: datetime | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class Alarm(Value):
    """One alarm: of what, how far, and since when.

    `value` is what was seen, and `expected` what was expected.
    """

    kind: AlarmKind
    feature: str
    message: str
    value: float
    expected: float
    since: datetime
    first: bool = True


class Consequence(Value):
    """What was decided because of a record, with the reason."""

    action: Literal["retrain", "wait", "notify", "roll back", "nothing"]
    reason: str
    version: str = ""


class MonitorRecord(Value):
    """One run of the monitor: it covers what was collected since the record before it.

    `closed` is the last day (UTC) whose answers were compared with the reference; each day is
    compared once.
    """

    format: int = FORMAT
    model: str
    sequence: int
    champion: str | None
    since: datetime | None
    until: datetime
    quality: tuple[LiveQuality, ...] = ()
    distances: tuple[LiveDistance, ...] = ()
    detectors: tuple[DetectorState, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    consequence: Consequence = Consequence(action="nothing", reason="no alarm")
    labels: dict[str, int] = Field(default_factory=dict)
    closed: date | None = None
    run: str = ""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)


class CarriedOut(Value):
    """The consequence of a record was carried out: the retraining requested, or rolled back."""

    run: str
    message: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class RecentRecords:
    """The newest records, newest first, and what is wrong with those that cannot be read."""

    records: tuple[MonitorRecord, ...] = ()
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class MonitorLog:
    """The log of one model's monitor records."""

    bucket: Bucket
    model: str

    def at(self, sequence: int) -> MonitorRecord | None:
        """The record of this number, if there is one.

        Raises:
            CorruptRecord: it is damaged, or of a later release.
        """
        key = keys.monitor_record(self.model, sequence)
        record = read(MonitorRecord, self.bucket, key)
        if record is not None and record.format != FORMAT:
            other = f"{record.format}, of another release"
            raise CorruptRecord(key, expected=f"format {FORMAT}", found=other)
        return record and record.model_copy(update={"sequence": sequence})

    def last_sequence(self) -> int:
        """The number of the newest record, also of a damaged one; 0 before the first."""
        return sequence_log.last(self.bucket, keys.monitoring(self.model), self._exists)

    def last(self) -> MonitorRecord | None:
        """The newest record that can be read, or None before the first."""
        return next(iter(self.recent(1).records), None)

    def recent(self, count: int) -> RecentRecords:
        """The newest records that can be read, at most this many; a damaged one hides no other."""
        records: list[MonitorRecord] = []
        damaged: list[str] = []
        for sequence in range(self.last_sequence(), 0, -1):
            if len(records) >= count:
                break
            try:
                record = self.at(sequence)
            except CorruptRecord as error:
                damaged.append(str(error))
                continue
            records += [record] if record is not None else []
        return RecentRecords(tuple(records), tuple(damaged))

    def append(self, record: MonitorRecord) -> MonitorRecord:
        """Write the record under its own sequence number.

        Raises:
            AlreadyExists: another run wrote that number first; it saw the same, so nothing is lost.
        """
        try:
            self.bucket.create(keys.monitor_record(self.model, record.sequence), record.encoded())
        except AlreadyExists:
            other = self.at(record.sequence)
            # Our own write, whose response was lost and which an earlier attempt completed.
            if other is None or other.id != record.id:
                raise
        return record

    def carried_out(self, sequence: int) -> CarriedOut | None:
        """The note that the consequence of a record was carried out, if it was.

        Raises:
            CorruptRecord: it is damaged.
        """
        return read(CarriedOut, self.bucket, keys.monitor_carried_out(self.model, sequence))

    def note_carried_out(self, sequence: int, note: CarriedOut) -> None:
        """Note it; the first note stands."""
        with suppress(AlreadyExists):
            self.bucket.create(keys.monitor_carried_out(self.model, sequence), note.encoded())

    def _exists(self, sequence: int) -> bool:
        try:
            return self.at(sequence) is not None
        except CorruptRecord:
            return True
