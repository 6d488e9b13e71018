"""Refusals: a candidate that its gates refused is remembered, so that no night repeats it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field

from store import keys
from store.bucket import Bucket
from store.errors import AlreadyExists, NotFound
from store.manifest import Finding
from store.schema import Value


class Refusal(Value):
    """What the gates said of a candidate that was never published."""

    model: str
    fingerprint: str
    findings: tuple[Finding, ...]
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


def remember(bucket: Bucket, model: str, fingerprint: str, findings: Sequence[Finding]) -> None:
    """Keep the first refusal of a fingerprint."""
    refusal = Refusal(model=model, fingerprint=fingerprint, findings=tuple(findings))
    try:
        bucket.create(keys.refusal(model, fingerprint), refusal.model_dump_json(indent=2).encode())
    except AlreadyExists:
        return


def read_refusal(bucket: Bucket, model: str, fingerprint: str) -> Refusal | None:
    """The refusal of exactly this fingerprint, if there was one."""
    try:
        return Refusal.model_validate_json(bucket.read(keys.refusal(model, fingerprint)))
    except NotFound:
        return None
