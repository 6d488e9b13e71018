"""Refusals: a candidate that failed its gates is remembered, so that no run repeats it."""

from datetime import UTC, datetime

from pydantic import Field

from overnight.store.registry.manifest import Finding
from overnight.store.values import Value


class Refusal(Value):
    """The findings of the gates about a candidate that was never published."""

    model: str
    fingerprint: str
    findings: tuple[Finding, ...]
    compared_with: str | None = None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
