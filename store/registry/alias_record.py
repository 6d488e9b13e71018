"""Alias record: which version an alias points at from one moment on, by whom and why."""

import uuid
from datetime import datetime
from typing import Literal

from pydantic import Field

from overnight.store.registry.challenge_terms import Terms
from overnight.store.trust.record_signatures import SignedRecord

Action = Literal["promoted", "rolled back", "started", "stopped"]


class AliasRecord(SignedRecord):
    """One entry in the log of an alias.

    A record of the challenger has the `terms` of the challenge, and in `champion_sequence` the
    sequence of the champion's record at its start. A stopped record names the version that was
    stopped. `authenticated`: a token authenticated the actor `by`; otherwise the name is a claim.
    """

    format: int = 1
    model: str
    alias: str
    sequence: int
    version: str
    previous: str | None
    action: Action
    by: str
    reason: str
    at: datetime
    terms: Terms | None = None
    champion_sequence: int = Field(default=0, alias="beside")
    authenticated: bool = Field(default=False, alias="proved")
    # Two writers of otherwise equal records differ in it, so that only one recognises its own.
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def target(self) -> str | None:
        """The version that the alias points at from this record on, if any."""
        return None if self.action == "stopped" else self.version
