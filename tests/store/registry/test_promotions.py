"""Promoting, rolling back and confirming over the log of an alias."""

import threading

import pytest

from overnight.store.errors import (
    AlreadyDecided,
    ConfigurationError,
    PromotionConflict,
    UnknownVersion,
    UntrustedRecord,
)
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.promotions import Promotions, predecessor
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.release.confirm import confirm
from tests.support.examples import FILES, manifest
from tests.support.signing_keys import SIGNER, alias_log, registry

A, B, C = (f"20261122T02000{n}-0123456789ab" for n in range(3))


@pytest.fixture
def bucket() -> MemoryBucket:
    bucket = MemoryBucket()
    for version in (A, B, C):
        ModelRegistry(bucket, "digits").publish(manifest(version=version), FILES, SIGNER)
        ModelRegistry(bucket, "digits").decisions.decide(
            version, "approved", Actor("gates", "every gate holds")
        )
    return bucket


def promote(bucket: MemoryBucket, version: str, expected: str | None) -> None:
    Promotions(ModelRegistry(bucket, "digits")).promote(
        version, expected=expected, actor=Actor("test", "test")
    )


def back(bucket: MemoryBucket, to: str | None = None) -> str:
    current = AliasLog(bucket, "digits").current()
    expected = current.version if current else None
    return (
        Promotions(ModelRegistry(bucket, "digits"))
        .roll_back(expected=expected, to=to, actor=Actor("ann", "worse"))
        .version
    )


def test_promoting_the_champion_again_writes_nothing(bucket: MemoryBucket) -> None:
    promote(bucket, A, None)
    promote(bucket, A, None)

    assert [record.version for record in AliasLog(bucket, "digits").history()] == [A]


def test_a_version_without_approval_is_not_promoted(bucket: MemoryBucket) -> None:
    undecided = "20261122T040000-0123456789ab"
    ModelRegistry(bucket, "digits").publish(manifest(version=undecided), FILES, SIGNER)

    with pytest.raises(ConfigurationError, match=f"overnight approve digits {undecided}"):
        promote(bucket, undecided, None)
    assert AliasLog(bucket, "digits").current() is None


def test_a_missing_version_is_not_promoted(bucket: MemoryBucket) -> None:
    with pytest.raises(UnknownVersion):
        promote(bucket, "20261122T050000-0123456789ab", None)


def test_a_rejected_version_is_never_approved(bucket: MemoryBucket) -> None:
    with pytest.raises(AlreadyDecided):
        ModelRegistry(bucket, "digits").decisions.decide(A, "rejected", Actor("ann", "ugly"))


def test_each_rollback_returns_to_the_version_replaced_before(
    bucket: MemoryBucket,
) -> None:
    promote(bucket, A, None)
    promote(bucket, B, A)
    promote(bucket, C, B)

    assert back(bucket) == B
    assert back(bucket) == A
    with pytest.raises(ConfigurationError, match="nothing served digits before"):
        back(bucket)
    actions = [record.action for record in AliasLog(bucket, "digits").history()]
    assert actions == ["promoted"] * 3 + ["rolled back"] * 2


def test_a_repeated_rollback_goes_back_only_once(bucket: MemoryBucket) -> None:
    promote(bucket, A, None)
    promote(bucket, B, A)
    promote(bucket, C, B)

    first = Promotions(ModelRegistry(bucket, "digits")).roll_back(
        expected=C, to=None, actor=Actor("ann", "worse")
    )
    again = Promotions(ModelRegistry(bucket, "digits")).roll_back(
        expected=C, to=None, actor=Actor("ann", "worse")
    )

    assert again == first
    assert first.version == B


def test_a_rollback_from_a_former_champion_is_a_conflict(bucket: MemoryBucket) -> None:
    promote(bucket, A, None)
    promote(bucket, B, A)
    promote(bucket, C, B)

    with pytest.raises(PromotionConflict, match=f"expected {B} to be current, found {C}"):
        Promotions(ModelRegistry(bucket, "digits")).roll_back(
            expected=B, to=None, actor=Actor("ann", "late")
        )


def test_rolling_back_can_name_its_target(bucket: MemoryBucket) -> None:
    promote(bucket, A, None)
    promote(bucket, B, A)
    promote(bucket, C, B)

    assert back(bucket, to=A) == A
    with pytest.raises(ConfigurationError, match="is the champion of digits already"):
        back(bucket, to=A)


def test_a_rollback_to_another_version_than_somebody_rolled_back_to_is_a_conflict(
    bucket: MemoryBucket,
) -> None:
    # Given a champion that somebody has rolled back already.
    promote(bucket, A, None)
    promote(bucket, B, A)
    promote(bucket, C, B)
    assert back(bucket) == B

    # When the same champion is rolled back to another version, then its request is not done.
    registry = ModelRegistry(bucket, "digits")
    with pytest.raises(PromotionConflict, match=f"expected {C} to be current, found {B}"):
        Promotions(registry).roll_back(expected=C, to=A, actor=Actor("bob", "worse"))


def test_rollbacks_after_a_move_by_hand_go_back_champion_by_champion(bucket: MemoryBucket) -> None:
    # Given three champions, and a move by hand to the second.
    promote(bucket, A, None)
    promote(bucket, B, A)
    promote(bucket, C, B)
    promote(bucket, B, C)

    # When it is rolled back again and again, then it ends at the first.
    assert [back(bucket), back(bucket), back(bucket)] == [C, B, A]
    with pytest.raises(ConfigurationError, match="nothing served digits before"):
        back(bucket)


def test_what_served_before_a_version_that_is_no_longer_champion_is_a_conflict(
    bucket: MemoryBucket,
) -> None:
    # Given that another promotion came between reading the champion and its predecessor.
    promote(bucket, A, None)
    promote(bucket, B, A)

    with pytest.raises(PromotionConflict) as raised:
        predecessor(AliasLog(bucket, "digits"), A)
    with pytest.raises(PromotionConflict) as of_none:
        predecessor(AliasLog(bucket, "shop"), A)

    expected = f"expected {A} to be current, found"
    remedy = "evaluate against it and promote again"
    assert str(raised.value) == f"digits@champion: {expected} {B}; {remedy}"
    assert str(of_none.value) == f"shop@champion: {expected} none; {remedy}"


def test_a_rollback_to_an_unknown_version_is_an_error_of_the_tree(bucket: MemoryBucket) -> None:
    promote(bucket, A, None)

    with pytest.raises(UnknownVersion):
        back(bucket, to="20261122T050000-0123456789ab")


def test_there_is_nothing_to_roll_back_before_the_first_promotion(bucket: MemoryBucket) -> None:
    with pytest.raises(ConfigurationError, match="no champion yet"):
        back(bucket)


def test_a_promotion_is_confirmed_when_enough_replicas_serve_it(bucket: MemoryBucket) -> None:
    record = Promotions(ModelRegistry(bucket, "digits")).promote(
        A, expected=None, actor=Actor("test", "test")
    )
    log = AliasLog(bucket, "digits")
    log.acknowledge(1, Acknowledgement(replica="r1", version=A, serving=True))
    late = threading.Timer(
        0.3,
        lambda: log.acknowledge(1, Acknowledgement(replica="r2", version=A, serving=True)),
    )
    late.start()

    confirmation = confirm(AliasLog(bucket, "digits"), record, replicas=2, seconds=20)
    late.join()

    assert confirmation.confirmed
    assert confirmation.serving == ("r1", "r2")


def test_missing_acknowledgements_are_reported_as_such(bucket: MemoryBucket) -> None:
    record = Promotions(ModelRegistry(bucket, "digits")).promote(
        A, expected=None, actor=Actor("test", "test")
    )

    confirmation = confirm(AliasLog(bucket, "digits"), record, replicas=1, seconds=0)

    assert not confirmation.confirmed
    assert str(confirmation) == f"0 of 1 replicas serve {A}"


def test_a_refusal_undoes_the_promotion_with_its_reason(bucket: MemoryBucket) -> None:
    promote(bucket, A, None)
    record = Promotions(ModelRegistry(bucket, "digits")).promote(
        B, expected=A, actor=Actor("test", "test")
    )
    log = AliasLog(bucket, "digits")
    refusal = Acknowledgement(replica="r1", version=B, serving=False, reason="golden 3 differs")
    log.acknowledge(2, refusal)

    confirmation = confirm(AliasLog(bucket, "digits"), record, replicas=1, seconds=20)

    current = log.current()
    assert current is not None
    assert (current.version, current.action, current.by) == (A, "rolled back", "confirm")
    assert confirmation.rolled_back_to == A
    assert "golden 3 differs" in current.reason


def test_one_refusal_undoes_a_promotion_that_enough_replicas_serve(bucket: MemoryBucket) -> None:
    # Given a promotion that one replica serves and another refuses.
    promote(bucket, A, None)
    record = Promotions(ModelRegistry(bucket, "digits")).promote(
        B, expected=A, actor=Actor("test", "test")
    )
    log = AliasLog(bucket, "digits")
    log.acknowledge(2, Acknowledgement(replica="r1", version=B, serving=True))
    log.acknowledge(2, Acknowledgement(replica="r2", version=B, serving=False, reason="too big"))

    # When one serving replica is enough.
    confirmation = confirm(AliasLog(bucket, "digits"), record, replicas=1, seconds=20)

    # Then it is not confirmed all the same.
    assert not confirmation.confirmed
    assert confirmation.rolled_back_to == A


def test_a_refused_first_version_has_no_predecessor(bucket: MemoryBucket) -> None:
    record = Promotions(ModelRegistry(bucket, "digits")).promote(
        A, expected=None, actor=Actor("test", "test")
    )
    AliasLog(bucket, "digits").acknowledge(
        1, Acknowledgement(replica="r1", version=A, serving=False, reason="too big")
    )

    confirmation = confirm(AliasLog(bucket, "digits"), record, replicas=1, seconds=20)

    assert not confirmation.confirmed
    assert confirmation.rolled_back_to is None
    assert "nothing to go back to" in str(confirmation)


def test_a_promotion_that_was_overtaken_is_left_to_the_newer_one(bucket: MemoryBucket) -> None:
    record = Promotions(ModelRegistry(bucket, "digits")).promote(
        A, expected=None, actor=Actor("test", "test")
    )
    promote(bucket, B, A)
    AliasLog(bucket, "digits").acknowledge(
        1, Acknowledgement(replica="r1", version=A, serving=False, reason="superseded")
    )

    confirmation = confirm(AliasLog(bucket, "digits"), record, replicas=1, seconds=20)

    assert confirmation.superseded_by == B
    current = AliasLog(bucket, "digits").current()
    assert current is not None
    assert current.version == B


@pytest.mark.parametrize("spoil", ["missing", "damaged"])
def test_a_champion_that_is_missing_or_damaged_is_told_and_the_one_before_counts(
    bucket: MemoryBucket, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a newest record whose version is no longer there.
    signing = registry(bucket)
    for version, before in ((A, None), (B, A)):
        signing.decisions.decide(version, "approved", Actor("gates", "every gate holds"))
        Promotions(signing).promote(version, expected=before, actor=Actor("test", "test"))
    manifest_key = keys.manifest("digits", B)
    body = bucket._objects.pop(manifest_key)
    if spoil == "damaged":
        bucket._objects[manifest_key] = body[:100]

    # Then a run begins with the champion before it, and says so.
    assert signing.champion_version() == A
    assert f"record 2 names {B}, which is missing or damaged" in caplog.text

    # And promotes over that one.
    signing.decisions.decide(C, "approved", Actor("gates", "every gate holds"))
    record = Promotions(signing).promote(C, expected=A, actor=Actor("test", "test"))
    assert (record.sequence, record.previous) == (3, A)
    assert signing.champion_version() == C


def test_a_missing_champion_without_a_predecessor_is_none(bucket: MemoryBucket) -> None:
    alias_log(bucket).append(
        "20261122T050000-0123456789ab", expected=None, actor=Actor("test", "test")
    )

    assert registry(bucket).champion_version() is None


def test_an_approval_that_nobody_signed_promotes_nothing(bucket: MemoryBucket) -> None:
    # Given an approval that was written without a key.
    signing = registry(bucket)
    with pytest.raises(UntrustedRecord, match="it is not signed"):
        Promotions(signing).promote(A, expected=None, actor=Actor("test", "test"))

    # When somebody who may decides the same again, then it counts.
    signing.decisions.decide(A, "approved", Actor("gates", "every gate holds"))
    assert Promotions(signing).promote(A, expected=None, actor=Actor("test", "test")).version == A


def test_two_promotions_over_the_same_champion_have_one_winner(bucket: MemoryBucket) -> None:
    promote(bucket, A, None)
    promote(bucket, B, A)

    with pytest.raises(PromotionConflict, match=f"found {B}"):
        promote(bucket, C, A)
