"""Collected versions: retention let go of their files, and what they were is still told.

The word comes first, create-only, and the files go after it. Whoever publishes, promotes or
challenges looks for it once more after its own last write, and whoever collects looks for them once
more after the word; so of two at the same moment at least one steps back. Whoever collects steps
back by another word, that the version is kept, before any file of it is gone.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from store import keys
from store.bucket import Bucket
from store.errors import AlreadyExists, CollectedVersion
from store.records import read
from store.values import Value


class Collected(Value):
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

    def encoded(self) -> bytes:
        return self.model_dump_json(indent=2).encode()


class Kept(Value):
    """That a version stays, because somebody wanted it when it was about to be collected."""

    model: str
    version: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


def read_collected(bucket: Bucket, model: str, version: str) -> Collected | None:
    """The word that a version was collected, or None while it is kept: one small GET."""
    found = read(Collected, bucket, keys.collected(model, version))
    return found if found and read_kept(bucket, model, version) is None else None


def read_kept(bucket: Bucket, model: str, version: str) -> Kept | None:
    """The word that a version stays although it was said to be collected, if there is one."""
    return read(Kept, bucket, keys.kept(model, version))


def keep(bucket: Bucket, model: str, version: str, reason: str) -> None:
    """Take back that a version was collected; what was said first stands."""
    word = Kept(model=model, version=version, reason=reason)
    with suppress(AlreadyExists):
        bucket.create(keys.kept(model, version), word.model_dump_json(indent=2).encode())


def check_kept(bucket: Bucket, model: str, version: str) -> None:
    """Make sure that a version was not collected.

    Raises:
        CollectedVersion: it was; says when, by whom, and what to do instead.
    """
    found = read_collected(bucket, model, version)
    if found is not None:
        raise CollectedVersion(
            model,
            version,
            at=f"{found.at:%Y-%m-%d}",
            by=found.by,
            remedy=f"name a version that is kept (`overnight versions {model}`)"
            if found.was == "published"
            else f"`overnight retrain {model} --force` makes another",
        )
