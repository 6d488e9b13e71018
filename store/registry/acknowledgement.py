"""Acknowledgement: whether a serving host serves the version of an alias record, or why not."""

from datetime import UTC, datetime

from pydantic import Field

from overnight.store.values import Value


class Acknowledgement(Value):
    """A serving host's report on one record: it serves the version, or refuses it with a reason."""

    replica: str
    version: str
    serving: bool
    reason: str = ""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
