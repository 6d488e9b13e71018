"""Tombstones of versions whose files retention deleted; their manifests and decisions remain.

Retention creates the tombstone, checks once more whether anything uses the version, and only then
deletes its files. Publishing, promoting and challenging write first and then check for a tombstone.
So when both happen at once, at least one side notices the other. Retention backs out by revoking
the tombstone before any file is deleted.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from overnight.store.values import Value


class Tombstone(Value):
    """The deletion marker of a version: which files, when, by whom and by which rule.

    `was` distinguishes a published version from one whose publishing was never completed.
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
    """Revokes a tombstone: the version was still in use when it was about to be deleted."""

    model: str
    version: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
