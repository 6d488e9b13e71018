"""Refusals: what the gates found about a candidate is kept, for one fingerprint and champion."""

from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import Finding
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import VERSION


def test_the_first_refusal_of_a_fingerprint_is_kept() -> None:
    refusals = ModelRegistry(MemoryBucket(), "digits").refusals
    finding = Finding(gate="AtLeast", metric="accuracy", passed=False, message="0.5, at least 0.9")
    refusals.refuse("f" * 64, [finding], compared_with=VERSION)
    refusals.refuse("f" * 64, [], compared_with=VERSION)

    refusal = refusals.find("f" * 64, compared_with=VERSION)

    assert refusal is not None
    assert (refusal.findings, refusal.compared_with) == ((finding,), VERSION)
    assert refusals.find("e" * 64, compared_with=VERSION) is None
    assert refusals.find("f" * 64, compared_with=None) is None
