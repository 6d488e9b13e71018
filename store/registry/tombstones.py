"""Collected versions: retention let go of their files, and what they were is still told.

The word comes first, create-only, and the files go after it. Whoever publishes, promotes or
challenges looks for it once more after its own last write, and whoever collects looks for them once
more after the word; so of two at the same moment at least one steps back. Whoever collects steps
back by another word, that the version is kept, before any file of it is gone.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from overnight.store.values import Value


class Tombstone(Value):
    """That a version's files were let go, when, by whom and by which rule.

    `was` tells a version that was published from one whose publishing never came to its end.
    """

    model: str
    version: str
    was: Literal["published", "half-written"]
    files: tuple[str, ...]
    size_bytes: int
    by: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class TombstoneRevoked(Value):
    """That a version stays, because somebody wanted it when it was about to be collected."""

    model: str
    version: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
