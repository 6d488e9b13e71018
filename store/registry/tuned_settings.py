"""Tuned settings: an append-only log of what a search found best, of which the newest holds."""

import uuid
from datetime import UTC, datetime

from pydantic import Field

from overnight.store.values import Value

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
