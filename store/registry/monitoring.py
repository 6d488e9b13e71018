"""Monitor records: an append-only log of what each monitor run saw, and what followed from it."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from overnight.store.errors import AlreadyExists
from overnight.store.objects import keys, sequence_log
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.registry.manifest import Measurement
from overnight.store.values import Value

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
    """One run of the monitor: it covers what was collected since the record before it."""

    format: int = 1
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
    run: str = ""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class MonitorLog:
    """The log of one model's monitor records."""

    bucket: Bucket
    model: str

    def at(self, sequence: int) -> MonitorRecord | None:
        """The record of this number, if there is one."""
        record = read(MonitorRecord, self.bucket, keys.monitor_record(self.model, sequence))
        return record and record.model_copy(update={"sequence": sequence})

    def last(self) -> MonitorRecord | None:
        """The newest record, or None before the first run."""
        prefix = keys.monitoring(self.model)
        sequence = sequence_log.last(self.bucket, prefix, lambda at: self.at(at) is not None)
        return self.at(sequence) if sequence else None

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
