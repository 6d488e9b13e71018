"""Which version may challenge a champion, one at a time, and what ends a challenge."""

import pytest

from overnight.store.errors import (
    ChallengeRunning,
    ConfigurationError,
    NoChallenge,
    PromotionConflict,
    UnknownVersion,
)
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Mode, Terms
from overnight.store.registry.challenges import Challenges, Withdrawal, difference
from overnight.store.registry.decision import Verdict
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import Schema, TensorSpec
from tests.support.examples import FILES, TENSORS, manifest
from tests.support.signing_keys import SIGNER

A, B, C, UNDECIDED, REJECTED = (f"20261122T02000{n}-0123456789ab" for n in range(5))
SHADOW, CANARY = Terms(mode="shadow"), Terms(mode="canary", share=0.2)


@pytest.fixture
def bucket() -> MemoryBucket:
    """A is champion; B and C are approved; one nobody decided about, one was rejected."""
    bucket = MemoryBucket()
    for version in (A, B, C, UNDECIDED, REJECTED):
        ModelRegistry(bucket, "digits").publish(manifest(version=version), FILES, SIGNER)
    for version in (A, B, C):
        decide(bucket, version, "approved")
    decide(bucket, REJECTED, "rejected")
    Promotions(ModelRegistry(bucket, "digits")).promote(
        A, expected=None, actor=Actor("ann", "the first")
    )
    return bucket


def decide(bucket: MemoryBucket, version: str, verdict: Verdict) -> None:
    ModelRegistry(bucket, "digits").decisions.decide(version, verdict, Actor("ann"))


def start(bucket: MemoryBucket, version: str, terms: Terms = SHADOW) -> AliasRecord:
    return Challenges(bucket, "digits").start(version, terms=terms, actor=Actor("bob", "to see"))


def stop(bucket: MemoryBucket) -> AliasRecord:
    return Challenges(bucket, "digits").stop(Actor("bob", "seen enough"))


def withdraw(bucket: MemoryBucket, record: AliasRecord, why: str = "too slow") -> Withdrawal:
    withdrawal = Withdrawal(replica="here", version=record.version, reason=why)
    return Challenges(bucket, record.model).withdraw(record, withdrawal)


def test_nothing_challenges_at_first(bucket: MemoryBucket) -> None:
    assert Challenges(bucket, "digits").current() is None
    with pytest.raises(NoChallenge, match="none was started"):
        stop(bucket)


@pytest.mark.parametrize(
    ("version", "terms"), [(B, SHADOW), (B, CANARY), (UNDECIDED, SHADOW)], ids=str
)
def test_a_challenge_is_one_record_with_its_terms(
    bucket: MemoryBucket, version: str, terms: Terms
) -> None:
    record = start(bucket, version, terms)

    challenge = Challenges(bucket, "digits").current()
    assert challenge is not None
    assert challenge.is_live
    assert challenge.record == record
    assert (record.action, record.terms, record.champion_sequence) == ("started", terms, 1)
    assert AliasLog(bucket, "digits").current().version == A  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("version", "terms", "message"),
    [
        (A, SHADOW, "is the champion of digits"),
        (REJECTED, SHADOW, "was rejected"),
        (REJECTED, CANARY, "was rejected"),
        (UNDECIDED, CANARY, "is not approved.*--canary --approve"),
    ],
)
def test_who_may_not_challenge_is_told_why(
    bucket: MemoryBucket, version: str, terms: Terms, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        start(bucket, version, terms)
    assert AliasLog(bucket, "digits", CHALLENGER).current() is None


def test_a_version_that_is_not_there_does_not_challenge(bucket: MemoryBucket) -> None:
    with pytest.raises(UnknownVersion):
        start(bucket, "20261122T050000-0123456789ab")


def test_without_a_champion_there_is_nothing_to_challenge() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(version=B), FILES, SIGNER)

    with pytest.raises(ConfigurationError, match="no champion yet"):
        start(bucket, B)


def test_one_challenges_at_a_time(bucket: MemoryBucket) -> None:
    start(bucket, B)

    with pytest.raises(ChallengeRunning, match=f"{B} challenges .* by bob; .*--stop"):
        start(bucket, C)
    with pytest.raises(ChallengeRunning):
        start(bucket, B, CANARY)


def test_starting_again_what_runs_already_writes_nothing(bucket: MemoryBucket) -> None:
    assert start(bucket, B) == start(bucket, B)
    assert AliasLog(bucket, "digits", CHALLENGER).sequences() == [1]


def test_stopping_is_one_more_record_after_which_another_may_start(bucket: MemoryBucket) -> None:
    start(bucket, B)

    stopped = stop(bucket)

    assert (stopped.version, stopped.target, stopped.action) == (B, None, "stopped")
    assert Challenges(bucket, "digits").current() is None
    with pytest.raises(NoChallenge):
        stop(bucket)
    assert start(bucket, C, CANARY).previous is None


def test_a_withdrawal_is_said_once_and_ends_the_challenge(bucket: MemoryBucket) -> None:
    record = start(bucket, B)

    first, late = withdraw(bucket, record), withdraw(bucket, record, "disagrees")

    assert late == first
    challenge = Challenges(bucket, "digits").current()
    assert challenge is not None
    assert (challenge.is_live, challenge.withdrawal) == (False, first)
    with pytest.raises(NoChallenge, match="was withdrawn: too slow"):
        stop(bucket)
    assert AliasLog(bucket, "digits", CHALLENGER).sequences() == [1]


@pytest.mark.parametrize("next_one", [B, C])
def test_after_a_withdrawal_another_try_is_another_record(
    bucket: MemoryBucket, next_one: str
) -> None:
    withdraw(bucket, start(bucket, B))

    record = start(bucket, next_one)

    assert (record.sequence, record.previous) == (2, B)
    challenge = Challenges(bucket, "digits").current()
    assert challenge is not None
    assert challenge.is_live


def test_a_challenger_that_became_champion_challenges_no_more_even_after_a_rollback(
    bucket: MemoryBucket,
) -> None:
    start(bucket, B, CANARY)
    Promotions(ModelRegistry(bucket, "digits")).promote(
        B, expected=A, actor=Actor("ann", "did well")
    )

    challenge = Challenges(bucket, "digits").current()
    assert challenge is not None
    assert not challenge.is_live

    Promotions(ModelRegistry(bucket, "digits")).roll_back(
        expected=B, to=None, actor=Actor("ann", "complaints")
    )
    with pytest.raises(NoChallenge, match="became champion"):
        stop(bucket)
    assert start(bucket, B).sequence == 2


def test_of_two_that_start_at_once_one_wins(bucket: MemoryBucket) -> None:
    log = AliasLog(bucket, "digits", CHALLENGER)
    log.append(B, expected=None, actor=Actor("eve"), action="started", terms=SHADOW)

    with pytest.raises(PromotionConflict, match=f"expected no version to be current, found {B}"):
        log.append(C, expected=None, actor=Actor("bob"), action="started", terms=SHADOW)


def test_records_of_champions_written_before_there_were_challengers_are_still_read() -> None:
    old = (
        b'{"format": 1, "model": "digits", "alias": "champion", "sequence": 1, "version": "'
        + A.encode()
        + b'", "previous": null, "action": "promoted", "by": "ann", "reason": "first", '
        b'"at": "2026-11-22T02:00:00Z", "id": "1"}'
    )

    record = AliasRecord.model_validate_json(old)

    assert (record.target, record.terms, record.champion_sequence) == (A, None, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": 0},
        {"share": 1.01},
        {"share": float("nan")},
        {"mode": "both"},
        {"maximum_slowdown": 0.9},
        {"maximum_slowdown": float("inf")},
        {"minimum_requests": 0},
        {"maximum_error_share": -0.1},
        {"tolerance": -1},
    ],
    ids=str,
)
def test_terms_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Terms.model_validate({"mode": "shadow"} | wrong)


def spec(name: str = "image", *, shape: tuple[int, ...] = (28, 28)) -> TensorSpec:
    return TensorSpec(name=name, datatype="UINT8", shape=shape)


OUT = TENSORS.outputs[0]
MORE = TensorSpec(name="more", datatype="FP32", shape=(2,))


@pytest.mark.parametrize(
    ("champion", "challenger", "canary", "shadow"),
    [
        (TENSORS, TENSORS, "", ""),
        (TENSORS, TENSORS.model_copy(update={"inputs": (spec(),)}), "", ""),
        (TENSORS, TENSORS.model_copy(update={"outputs": (OUT, MORE)}), "", ""),
        (
            TENSORS,
            TENSORS.model_copy(update={"outputs": (MORE, OUT)}),
            "its outputs",
            "their classes",
        ),
        (
            TENSORS,
            TENSORS.model_copy(update={"outputs": (MORE,)}),
            "its outputs",
            "it has no output 'probabilities'",
        ),
        (TENSORS.model_copy(update={"outputs": (OUT, MORE)}), TENSORS, "its outputs", ""),
        (
            TENSORS,
            TENSORS.model_copy(update={"inputs": (spec("picture"),)}),
            "its inputs",
            "it takes the input 'picture'",
        ),
        (
            TENSORS,
            TENSORS.model_copy(update={"inputs": (spec(shape=(28,)),)}),
            "its inputs",
            "'image' has the shape",
        ),
        (
            TENSORS,
            TENSORS.model_copy(update={"labels": ("0", "1")}),
            "their classes",
            "their classes",
        ),
    ],
)
def test_an_incompatible_schema_is_described(
    champion: Schema, challenger: Schema, canary: str, shadow: str
) -> None:
    expected: dict[Mode, str] = {"canary": canary, "shadow": shadow}
    for mode, message in expected.items():
        reason = difference(champion, challenger, mode=mode)

        assert reason.startswith(message)
        assert bool(reason) == bool(message)


def numbered(*categories: str, labels: tuple[str, ...] = TENSORS.labels) -> Schema:
    shop = TensorSpec(name="shop", datatype="INT32", shape=(), vocabulary=categories)
    return TENSORS.model_copy(update={"inputs": (shop,), "labels": labels})


@pytest.mark.parametrize(
    ("challenger", "message"),
    [
        (numbered("north", "south", "west"), ""),
        (numbered("south", "north"), "it numbers the categories of 'shop' otherwise"),
        (numbered("north", "south", labels=TENSORS.labels[::-1]), "its classes"),
    ],
)
def test_a_canary_keeps_the_numbers_that_clients_know_and_a_shadow_need_not(
    challenger: Schema, message: str
) -> None:
    champion = numbered("north", "south")

    assert difference(champion, challenger, mode="canary").startswith(message)
    assert bool(difference(champion, challenger, mode="canary")) == bool(message)
    assert difference(champion, challenger, mode="shadow") == ""


def test_a_version_with_other_tensors_cannot_challenge(bucket: MemoryBucket) -> None:
    other = manifest(version="20261122T060000-0123456789ab").model_copy(
        update={"tensors": TENSORS.model_copy(update={"labels": ("zero", "one")})}
    )
    ModelRegistry(bucket, other.model).publish(other, FILES, SIGNER)

    with pytest.raises(ConfigurationError, match="promote it instead"):
        start(bucket, other.version)
