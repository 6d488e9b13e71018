"""The progress of earlier runs decides whether a run trains."""

from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.manifest import Finding
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.release.resume import PriorProgress, PriorRun, find_prior_run
from tests.support.examples import FILES, FINGERPRINT, VERSION, manifest
from tests.support.signing_keys import SIGNER


def remembered(bucket: MemoryBucket, *, champion: str | None = None, replicas: int = 0) -> PriorRun:
    return find_prior_run(
        ModelRegistry(bucket, "digits"), FINGERPRINT, champion=champion, replicas=replicas
    )


def known(bucket: MemoryBucket) -> PriorProgress:
    return remembered(bucket).progress


def test_each_step_of_a_version_is_recognised() -> None:
    bucket = MemoryBucket()
    assert known(bucket) is PriorProgress.NOTHING

    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    assert known(bucket) is PriorProgress.UNDECIDED

    ModelRegistry(bucket, "digits").decisions.decide(
        VERSION, "approved", Actor("gates", "every gate holds")
    )
    assert known(bucket) is PriorProgress.UNPROMOTED

    Promotions(ModelRegistry(bucket, "digits")).promote(
        VERSION, expected=None, actor=Actor("test", "test")
    )
    assert known(bucket) is PriorProgress.SETTLED
    assert remembered(bucket).message == f"{VERSION} has this fingerprint and serves"


def test_a_promotion_is_settled_once_enough_replicas_serve_it() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    ModelRegistry(bucket, "digits").decisions.decide(
        VERSION, "approved", Actor("gates", "every gate holds")
    )
    Promotions(ModelRegistry(bucket, "digits")).promote(
        VERSION, expected=None, actor=Actor("test", "test")
    )
    assert remembered(bucket, champion=VERSION, replicas=1).progress is PriorProgress.UNCONFIRMED

    AliasLog(bucket, "digits").acknowledge(
        1, Acknowledgement(replica="r1", version=VERSION, serving=True)
    )

    assert remembered(bucket, champion=VERSION, replicas=1).progress is PriorProgress.SETTLED
    assert remembered(bucket, champion=VERSION, replicas=2).progress is PriorProgress.UNCONFIRMED


def test_a_refused_candidate_is_not_trained_again_and_the_reason_is_given() -> None:
    bucket = MemoryBucket()
    finding = Finding(gate="AtLeast", metric="accuracy", passed=False, message="0.5, at least 0.9")
    ModelRegistry(bucket, "digits").refusals.refuse(FINGERPRINT, [finding], compared_with=None)

    memory = remembered(bucket)

    assert memory.progress is PriorProgress.REFUSED
    assert remembered(bucket, champion=VERSION).progress is PriorProgress.NOTHING
    assert "0.5, at least 0.9" in memory.message


def test_a_rejected_version_settles_its_fingerprint() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    ModelRegistry(bucket, "digits").decisions.decide(
        VERSION, "rejected", Actor("ann", "ugly sevens")
    )

    memory = remembered(bucket)

    assert memory.progress is PriorProgress.SETTLED
    assert "ann rejected it: ugly sevens" in memory.message


def test_a_former_champion_is_settled() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    ModelRegistry(bucket, "digits").decisions.decide(
        VERSION, "approved", Actor("gates", "every gate holds")
    )
    Promotions(ModelRegistry(bucket, "digits")).promote(
        VERSION, expected=None, actor=Actor("test", "test")
    )
    other = "20261123T020000-ba9876543210"
    ModelRegistry(bucket, "digits").publish(manifest(version=other), FILES, SIGNER)
    AliasLog(bucket, "digits").append(other, expected=VERSION, actor=Actor("ann", "newer"))

    assert remembered(bucket).message == f"{VERSION} has this fingerprint; {other} serves"


def test_a_version_compared_with_an_earlier_champion_and_then_refused_is_not_trained_again() -> (
    None
):
    bucket = MemoryBucket()
    other = "20261123T020000-ba9876543210"
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    finding = Finding(gate="MaximumRegression", metric="accuracy", passed=False, message="worse")
    ModelRegistry(bucket, "digits").refusals.refuse(FINGERPRINT, [finding], compared_with=other)

    assert remembered(bucket, champion=other).progress is PriorProgress.REFUSED
    assert remembered(bucket).progress is PriorProgress.UNDECIDED
