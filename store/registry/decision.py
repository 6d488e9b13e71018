"""Decision: the approval or rejection of a version, with an actor and a reason."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from overnight.store.trust.record_signatures import SignedRecord

Verdict = Literal["approved", "rejected"]


class Decision(SignedRecord):
    """The approval or rejection of a version; final, as its key can be created only once.

    `authenticated`: a token authenticated the actor `by`; otherwise the name is a claim.
    """

    model: str
    version: str
    verdict: Verdict
    by: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    authenticated: bool = Field(default=False, alias="proved")
