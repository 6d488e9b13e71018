"""Decisions: each version is approved or rejected once, by somebody, for a reason."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from overnight.store.values import Value

Verdict = Literal["approved", "rejected"]


class Decision(Value):
    """What was decided about a version; final by construction.

    `proved`: a token showed that it was `by` who decided; else it is what somebody typed.
    """

    model: str
    version: str
    verdict: Verdict
    by: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    proved: bool = False
