"""Versions whose files retention deleted."""

from datetime import UTC, datetime

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.tombstones import Tombstone


def collected(bucket: Bucket, version: str, model: str = "digits") -> None:
    """Record that a version was collected at Christmas 2026, by ada."""
    tombstone = Tombstone(
        model=model,
        version=version,
        was="published",
        files=(),
        size_bytes=0,
        by="ada",
        reason="old",
        at=datetime(2026, 12, 24, tzinfo=UTC),
    )
    bucket.create(keys.tombstone(model, version), tombstone.encoded())
