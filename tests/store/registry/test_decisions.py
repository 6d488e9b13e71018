"""A version is decided about once."""

import pytest

from overnight.store.errors import AlreadyDecided, UnknownVersion
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.decision import Decision, Verdict
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER


def decide(bucket: MemoryBucket, verdict: Verdict, by: str = "ann") -> Decision:
    return ModelRegistry(bucket, "digits").decisions.decide(VERSION, verdict, Actor(by, "because"))


@pytest.fixture
def bucket() -> MemoryBucket:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    return bucket


def test_a_decision_is_final(bucket: MemoryBucket) -> None:
    decide(bucket, "approved")

    with pytest.raises(AlreadyDecided, match="was approved by ann already"):
        decide(bucket, "rejected", by="bob")

    decision = ModelRegistry(bucket, "digits").decisions.find(VERSION)
    assert decision is not None
    assert decision.verdict == "approved"


def test_deciding_the_same_again_returns_the_first_decision(bucket: MemoryBucket) -> None:
    first = decide(bucket, "approved")

    assert decide(bucket, "approved", by="bob") == first


def test_a_missing_version_cannot_be_decided_about() -> None:
    with pytest.raises(UnknownVersion, match="overnight versions digits"):
        decide(MemoryBucket(), "approved")
