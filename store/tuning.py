"""Tuned settings: an append-only log of what a search found best, of which the newest holds."""

import uuid
from datetime import UTC, datetime

from pydantic import Field

from store import keys, numbered
from store.bucket import Bucket
from store.errors import AlreadyExists
from store.records import read
from store.values import Value

Settings = dict[str, float | int]


class TunedSettings(Value):
    """Settings that nights use instead of the model's own; empty to go back to those.

    `objective` is the validation loss that a fit with them came to, `before` what the settings
    came to that they replace.
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


def read_tuned(bucket: Bucket, model: str) -> TunedSettings | None:
    """The newest record, or None when nothing was ever tuned."""
    listed = numbered.named(bucket, keys.tuned(model))
    if listed and _at(bucket, model, listed[-1]) is None:
        listed = numbered.recorded(bucket, keys.tuned(model))
    newest, sequence = None, max(listed, default=1)
    # A listing may be stale; walking on from it to the first gap is not.
    while (found := _at(bucket, model, sequence)) is not None:
        newest, sequence = found, sequence + 1
    return newest


def remember_tuned(bucket: Bucket, found: TunedSettings) -> TunedSettings:
    """Write the next record; of two searches that end at once, the later is the newer."""
    while True:
        newest = read_tuned(bucket, found.model)
        record = found.model_copy(update={"sequence": newest.sequence + 1 if newest else 1})
        try:
            bucket.create(
                keys.tuned_record(found.model, record.sequence),
                record.model_dump_json(indent=2).encode(),
            )
        except AlreadyExists:
            other = _at(bucket, found.model, record.sequence)
            if other is not None and other.id == record.id:
                return other
            continue
        return record


def _at(bucket: Bucket, model: str, sequence: int) -> TunedSettings | None:
    found = read(TunedSettings, bucket, keys.tuned_record(model, sequence))
    # The number is the key's: what a record says of itself must not lead anybody in circles.
    return found and found.model_copy(update={"sequence": sequence})
