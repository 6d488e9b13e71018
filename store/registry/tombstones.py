"""Tombstones of versions whose files retention deleted; their manifests and decisions remain.

Retention creates the tombstone, checks once more whether anything uses the version, and only then
deletes its files. Publishing, promoting and challenging write first and then check for a tombstone.
So when both happen at once, at least one side notices the other. Retention backs out by revoking
the tombstone before any file is deleted.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from overnight.store.errors import AlreadyExists, CollectedVersion
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
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


@dataclass(frozen=True)
class Tombstones:
    """The tombstones of the versions of one model."""

    bucket: Bucket
    model: str

    def find(self, version: str) -> Tombstone | None:
        """The tombstone of a version, or None when there is none or it was revoked."""
        tombstone = read(Tombstone, self.bucket, keys.tombstone(self.model, version))
        return tombstone if tombstone and self.revoked(version) is None else None

    def revoked(self, version: str) -> TombstoneRevoked | None:
        """The record that revokes a version's tombstone, if there is one."""
        return read(TombstoneRevoked, self.bucket, keys.tombstone_revoked(self.model, version))

    def revoke(self, version: str, reason: str) -> None:
        """Revoke a version's tombstone; the reason that was written first stands."""
        record = TombstoneRevoked(model=self.model, version=version, reason=reason)
        with suppress(AlreadyExists):
            self.bucket.create(keys.tombstone_revoked(self.model, version), record.encoded())

    def check_not_collected(self, version: str) -> None:
        """Check that retention has not deleted a version's files.

        Raises:
            CollectedVersion: it has; says when, by whom, and what to do instead.
        """
        tombstone = self.find(version)
        if tombstone is not None:
            raise CollectedVersion(
                self.model,
                version,
                at=f"{tombstone.at:%Y-%m-%d}",
                by=tombstone.by,
                remedy=f"name a version that is kept (`overnight versions {self.model}`)"
                if tombstone.was == "published"
                else f"`overnight retrain {self.model} --force` makes another",
            )
