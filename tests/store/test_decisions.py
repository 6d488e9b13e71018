"""A version is decided once; a refusal is remembered."""

import pytest

from store import versions
from store.decisions import Decision, decide, read_decision
from store.errors import AlreadyDecided, UnknownVersion
from store.manifest import Finding
from store.memory import MemoryBucket
from store.refusals import read_refusal, remember
from tests.examples import FILES, VERSION, manifest
from tests.signing import SIGNER


def decision(verdict: str, by: str = "ann") -> Decision:
    return Decision.model_validate(
        {"model": "digits", "version": VERSION, "verdict": verdict, "by": by, "reason": "because"}
    )


@pytest.fixture
def bucket() -> MemoryBucket:
    bucket = MemoryBucket()
    versions.publish(bucket, manifest(), FILES, SIGNER)
    return bucket


def test_a_decision_is_final(bucket: MemoryBucket) -> None:
    decide(bucket, decision("approved"))

    with pytest.raises(AlreadyDecided, match="was approved by ann already"):
        decide(bucket, decision("rejected", by="bob"))

    found = read_decision(bucket, "digits", VERSION)
    assert found is not None
    assert found.verdict == "approved"


def test_deciding_the_same_again_returns_the_first_decision(bucket: MemoryBucket) -> None:
    first = decide(bucket, decision("approved"))

    assert decide(bucket, decision("approved", by="bob")) == first


def test_nothing_can_be_decided_about_a_version_that_is_not_there() -> None:
    with pytest.raises(UnknownVersion, match="overnight versions digits"):
        decide(MemoryBucket(), decision("approved"))


def test_the_first_refusal_of_a_fingerprint_is_kept(bucket: MemoryBucket) -> None:
    finding = Finding(gate="AtLeast", metric="accuracy", passed=False, message="0.5, at least 0.9")
    remember(bucket, "digits", "f" * 64, [finding], compared_with=VERSION)
    remember(bucket, "digits", "f" * 64, [], compared_with=VERSION)

    refusal = read_refusal(bucket, "digits", "f" * 64, compared_with=VERSION)

    assert refusal is not None
    assert refusal.findings == (finding,)
    assert read_refusal(bucket, "digits", "e" * 64, compared_with=VERSION) is None
    assert read_refusal(bucket, "digits", "f" * 64, compared_with=None) is None
