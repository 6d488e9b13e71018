"""Refusals: a candidate that its gates refused is remembered, so that no night repeats it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field

from store import keys
from store.bucket import Bucket
from store.errors import AlreadyExists
from store.manifest import Finding
from store.records import read
from store.values import Value


class Refusal(Value):
    """What the gates said of a candidate that was never published."""

    model: str
    fingerprint: str
    findings: tuple[Finding, ...]
    compared_with: str | None = None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


def remember(
    bucket: Bucket,
    model: str,
    fingerprint: str,
    findings: Sequence[Finding],
    *,
    compared_with: str | None,
) -> None:
    """Keep the first refusal of a fingerprint beside a champion: beside another it may pass."""
    refusal = Refusal(
        model=model,
        fingerprint=fingerprint,
        findings=tuple(findings),
        compared_with=compared_with,
    )
    try:
        key = keys.refusal(model, fingerprint, compared_with)
        bucket.create(key, refusal.model_dump_json(indent=2).encode())
    except AlreadyExists:
        return


def read_refusal(
    bucket: Bucket, model: str, fingerprint: str, *, compared_with: str | None
) -> Refusal | None:
    """The refusal of exactly this fingerprint beside this champion, if there was one."""
    return read(Refusal, bucket, keys.refusal(model, fingerprint, compared_with))
