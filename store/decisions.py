"""Decisions: each version is approved or rejected once, by somebody, for a reason."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from store import keys
from store.bucket import Bucket
from store.errors import AlreadyDecided, AlreadyExists
from store.records import read
from store.registry.registry import ModelRegistry
from store.values import Value


class Decision(Value):
    """What was decided about a version; final by construction.

    `proved`: a token showed that it was `by` who decided; else it is what somebody typed.
    """

    model: str
    version: str
    verdict: Literal["approved", "rejected"]
    by: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    proved: bool = False


def read_decision(bucket: Bucket, model: str, version: str) -> Decision | None:
    """The decision about a version, or None while there is none.

    Raises:
        CorruptRecord: it cannot be read, so that nobody knows what was decided.
    """
    return read(Decision, bucket, keys.decision(model, version))


def decide(bucket: Bucket, decision: Decision) -> Decision:
    """Write a decision, or find that the same was decided already.

    Raises:
        UnknownVersion: there is nothing to decide about.
        AlreadyDecided: somebody decided otherwise first.
    """
    ModelRegistry(bucket, decision.model).manifest(decision.version)
    try:
        bucket.create(
            keys.decision(decision.model, decision.version),
            decision.model_dump_json(indent=2).encode(),
        )
    except AlreadyExists:
        first = read_decision(bucket, decision.model, decision.version)
        if first is None or first.verdict != decision.verdict:
            raise AlreadyDecided(
                decision.model,
                decision.version,
                first.verdict if first else "decided",
                first.by if first else "somebody",
            ) from None
        return first
    return decision


def is_approved(bucket: Bucket, model: str, version: str) -> bool:
    """Whether a version may ever serve."""
    decision = read_decision(bucket, model, version)
    return decision is not None and decision.verdict == "approved"
