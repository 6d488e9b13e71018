"""Tuned settings: an append-only log of the best settings of searches; the newest applies."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from overnight.store.errors import AlreadyExists
from overnight.store.objects import keys, sequence_log
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.values import Value

Settings = dict[str, float | int]


class TunedSettings(Value):
    """Settings that runs use instead of the model's own; empty to return to the model's own.

    `objective` is the validation loss of a fit with them, `before` that of the settings they
    replace.
    """

    format: int = 1
    model: str
    sequence: int
    settings: Settings
    by: str
    reason: str
    objective: float | None = None
    before: float | None = None
    trials: int = 0
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class TunedSettingsLog:
    """The log of one model's tuned settings."""

    bucket: Bucket
    model: str

    def current(self) -> TunedSettings | None:
        """The newest settings, or None when nothing was ever tuned."""
        prefix = keys.tuned(self.model)
        return self._at(sequence_log.last(self.bucket, prefix, lambda at: self._at(at) is not None))

    def append(self, settings: TunedSettings) -> TunedSettings:
        """Write the next record; of two searches that end at once, the later one is the newer."""
        while True:
            newest = self.current()
            record = settings.model_copy(update={"sequence": newest.sequence + 1 if newest else 1})
            try:
                key = keys.tuned_record(self.model, record.sequence)
                self.bucket.create(key, record.encoded())
            except AlreadyExists:
                other = self._at(record.sequence)
                # Our own write, whose response was lost and which an earlier attempt completed.
                if other is not None and other.id == record.id:
                    return other
                continue
            return record

    def _at(self, sequence: int) -> TunedSettings | None:
        record = read(TunedSettings, self.bucket, keys.tuned_record(self.model, sequence))
        # The key's number counts: a wrong one in the body would make `current` loop for ever.
        return record and record.model_copy(update={"sequence": sequence})
