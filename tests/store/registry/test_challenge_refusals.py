"""Challenges, promotions and decisions that are refused or undone, with every message whole."""

import pytest

from overnight.store.errors import (
    AlreadyDecided,
    AlreadyExists,
    ChallengeRunning,
    CollectedVersion,
    ConfigurationError,
    CorruptRecord,
    NoChallenge,
    OvernightError,
    PromotionConflict,
)
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.size_limits import RECORD_BYTES
from overnight.store.registry.actor import Actor
from overnight.store.registry.challenge_terms import Mode, Terms
from overnight.store.registry.challenges import Challenges, Withdrawal, difference
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import Schema, TensorSpec
from tests.support.examples import FILES, TENSORS, manifest
from tests.support.signing_keys import SIGNER, TRUST
from tests.support.tombstones import collected

A, B, C, UNDECIDED = (f"20261122T02000{n}-0123456789ab" for n in range(4))
SHADOW, CANARY = Terms(mode="shadow"), Terms(mode="canary", share=0.2)
BOB = Actor("bob", "to see")
AGAIN = "evaluate against it and promote again"


@pytest.fixture
def bucket() -> MemoryBucket:
    """A is champion; B and C are approved."""
    bucket = MemoryBucket()
    registry = ModelRegistry(bucket, "digits")
    for version in (A, B, C, UNDECIDED):
        registry.publish(manifest(version=version), FILES, SIGNER)
    for version in (A, B, C):
        registry.decisions.decide(version, "approved", Actor("ann"))
    Promotions(registry).promote(A, expected=None, actor=BOB)
    return bucket


def of(bucket: MemoryBucket) -> tuple[ModelRegistry, Challenges, Promotions]:
    registry = ModelRegistry(bucket, "digits")
    return registry, Challenges.of(registry), Promotions(registry)


def stopping(
    challenges: Challenges, kind: type[OvernightError], expected: str | None = None
) -> str:
    with pytest.raises(kind) as raised:
        challenges.stop(BOB, expected=expected)
    return str(raised.value)


def test_a_challenge_that_cannot_be_stopped_says_why(bucket: MemoryBucket) -> None:
    _, challenges, promotions = of(bucket)
    nothing = "nothing challenges the champion of digits: "
    assert stopping(challenges, NoChallenge) == (
        f"{nothing}none was started, or the last was stopped"
    )

    started = challenges.start(B, terms=SHADOW, actor=BOB)
    assert stopping(challenges, PromotionConflict, C) == (
        f"digits@challenger: expected {C} to be current, found {B}; {AGAIN}"
    )

    challenges.withdraw(started, Withdrawal(replica="here", version=B, reason="too slow"))
    assert stopping(challenges, NoChallenge) == f"{nothing}{B} was withdrawn: too slow"

    challenges.start(C, terms=SHADOW, actor=BOB)
    promotions.promote(C, expected=A, actor=BOB)
    assert stopping(challenges, NoChallenge) == f"{nothing}{C} became champion"


def test_a_second_challenger_learns_of_the_first(bucket: MemoryBucket) -> None:
    _, challenges, _ = of(bucket)
    first = challenges.start(B, terms=SHADOW, actor=BOB)

    with pytest.raises(ChallengeRunning) as raised:
        challenges.start(C, terms=SHADOW, actor=Actor("eve"))

    assert str(raised.value) == (
        f"{B} challenges the champion of digits since {first.at:%Y-%m-%d %H:%M} UTC, started by "
        "bob; `overnight challenge digits --stop` first"
    )


def test_a_canary_needs_an_approval_and_is_told_how_to_get_it(bucket: MemoryBucket) -> None:
    with pytest.raises(ConfigurationError) as raised:
        of(bucket)[1].start(UNDECIDED, terms=CANARY, actor=BOB)

    assert str(raised.value) == (
        f"digits {UNDECIDED} is not approved, so it may not answer clients; let it challenge in "
        "shadow, or approve it: "
        f"`overnight challenge digits {UNDECIDED} --canary --approve`"
    )


def test_a_canary_that_numbers_classes_otherwise_is_told_both(bucket: MemoryBucket) -> None:
    registry, challenges, _ = of(bucket)
    other, labels = "20261122T060000-0123456789ab", TENSORS.labels[::-1]
    tensors = TENSORS.model_copy(update={"labels": labels})
    made = manifest(version=other).model_copy(update={"tensors": tensors})
    registry.publish(made, FILES, SIGNER)
    registry.decisions.decide(other, "approved", Actor("ann"))

    with pytest.raises(ConfigurationError) as raised:
        challenges.start(other, terms=CANARY, actor=BOB)

    assert str(raised.value) == (
        f"digits {other} cannot challenge {A}: its classes are {labels}, "
        f"expected {TENSORS.labels}; promote it instead"
    )


def test_a_canary_that_numbers_categories_otherwise_may_challenge_in_shadow() -> None:
    def shops(*names: str) -> Schema:
        shop = TensorSpec(name="shop", datatype="INT32", shape=(), vocabulary=names)
        return TENSORS.model_copy(update={"inputs": (shop,)})

    why = difference(shops("north", "south"), shops("south", "north"), mode="canary")

    assert why == (
        "it numbers the categories of 'shop' otherwise, and clients may send or read numbers; "
        "let it challenge in shadow"
    )


def test_a_challenge_of_an_earlier_release_counts_the_first_champion(bucket: MemoryBucket) -> None:
    _, challenges, _ = of(bucket)
    record = challenges.start(B, terms=SHADOW, actor=BOB)
    earlier = record.model_copy(update={"champion_sequence": 0, "version": A})

    assert challenges.became_champion(earlier)
    assert not challenges.became_champion(earlier, since=1)


def test_a_challenge_of_a_version_collected_meanwhile_is_stopped_with_the_reason(
    bucket: MemoryBucket,
) -> None:
    _, challenges, _ = of(bucket)
    challenges.start(B, terms=SHADOW, actor=BOB)
    collected(bucket, B)

    with pytest.raises(CollectedVersion) as raised:
        challenges.start(B, terms=SHADOW, actor=Actor("eve"))

    last = challenges.log.history()[-1]
    assert (last.version, last.action) == (B, "stopped")
    assert (last.by, last.reason) == ("bob", str(raised.value))


def test_a_promotion_of_a_version_collected_meanwhile_is_rolled_back_with_the_reason(
    bucket: MemoryBucket,
) -> None:
    registry, _, promotions = of(bucket)
    promotions.promote(B, expected=A, actor=BOB)
    collected(bucket, B)

    with pytest.raises(CollectedVersion) as raised:
        promotions.promote(B, expected=A, actor=Actor("eve"))

    last = registry.champion.history()[-1]
    assert (last.version, last.previous, last.action) == (A, B, "rolled back")
    assert (last.by, last.reason) == ("bob", str(raised.value))


def test_a_rollback_from_another_champion_names_the_one_there_is(bucket: MemoryBucket) -> None:
    _, _, promotions = of(bucket)

    with pytest.raises(PromotionConflict) as raised:
        promotions.roll_back(expected=B, to=None, actor=BOB)
    with pytest.raises(ConfigurationError, match="digits has no champion yet"):
        promotions.roll_back(expected=None, to=None, actor=BOB)

    assert str(raised.value) == f"digits@champion: expected {B} to be current, found {A}; {AGAIN}"


def test_a_rollback_without_a_champion_has_nothing_to_roll_back() -> None:
    with pytest.raises(ConfigurationError) as raised:
        of(MemoryBucket())[2].roll_back(expected=A, to=None, actor=BOB)

    assert str(raised.value) == "digits has no champion yet, so there is nothing to roll back"


class Lagging(MemoryBucket):
    """A bucket in which decisions are taken, and not yet seen by those who read."""

    def create(self, key: str, body: bytes) -> None:
        if key.endswith("decision.json"):
            raise AlreadyExists(key)
        super().create(key, body)


def test_the_opposite_of_a_decision_is_refused_with_who_decided(bucket: MemoryBucket) -> None:
    lagging = Lagging()
    ModelRegistry(lagging, "digits").publish(manifest(version=A), FILES, SIGNER)

    with pytest.raises(AlreadyDecided) as raised:
        of(bucket)[0].decisions.decide(A, "rejected", BOB)
    with pytest.raises(AlreadyDecided) as unseen:
        of(lagging)[0].decisions.decide(A, "rejected", BOB)

    assert str(raised.value) == f"digits {A} was approved by ann already; a decision is final"
    assert str(unseen.value) == f"digits {A} was decided by somebody already; a decision is final"


def test_a_decision_says_whether_its_author_was_authenticated(bucket: MemoryBucket) -> None:
    actor = Actor("ann", "seen", authenticated=True)

    assert of(bucket)[0].decisions.decide(UNDECIDED, "approved", actor).authenticated


def test_whoever_cannot_sign_may_repeat_a_decision(bucket: MemoryBucket) -> None:
    reader = ModelRegistry(bucket, "digits", TRUST)

    again = reader.decisions.decide(A, "approved", BOB)

    assert again == reader.decisions.find(A)


def test_a_decision_or_withdrawal_that_is_too_long_is_a_damaged_record(
    bucket: MemoryBucket,
) -> None:
    registry, challenges, _ = of(bucket)
    record, long = challenges.start(B, terms=SHADOW, actor=BOB), b" " * (RECORD_BYTES + 1)
    bucket.create(keys.decision("digits", UNDECIDED), long)
    bucket.create(keys.withdrawal("digits", "challenger", record.sequence), long)

    with pytest.raises(CorruptRecord, match="a Decision of at most"):
        registry.decisions.stored(UNDECIDED)
    with pytest.raises(CorruptRecord, match="a Withdrawal of at most"):
        challenges.withdrawal(record)
    with pytest.raises(CorruptRecord, match="a Withdrawal of at most"):
        challenges.sign_withdrawal(record, SIGNER)


def schema_of(*inputs: TensorSpec, labels: tuple[str, ...] = ("a", "b")) -> Schema:
    shares = TensorSpec(name="p", datatype="FP32", shape=(len(labels),), minimum=0, maximum=1)
    return Schema(inputs=inputs, outputs=(shares,), labels=labels)


ACID = TensorSpec(name="acid", datatype="FP32", shape=())
SUGAR = TensorSpec(name="sugar", datatype="FP32", shape=(), default=4.0)


@pytest.mark.parametrize(
    ("champion", "challenger", "shadow", "canary"),
    [
        (schema_of(ACID), schema_of(ACID, SUGAR), "", "its inputs are"),
        (schema_of(ACID, SUGAR), schema_of(ACID), "", "its inputs are"),
        (
            schema_of(ACID),
            schema_of(ACID, SUGAR.model_copy(update={"default": None})),
            "takes the input 'sugar'",
            "its inputs are",
        ),
        (
            schema_of(ACID),
            schema_of(ACID, labels=("a", "b", "c")),
            "the classes of 'p' are ('a', 'b', 'c')",
            "its outputs are",
        ),
        (schema_of(ACID), schema_of(ACID, labels=("b", "a")), "", "its classes are ('b', 'a')"),
    ],
)
def test_a_shadow_may_take_other_inputs_and_a_canary_must_look_the_same(
    champion: Schema, challenger: Schema, shadow: str, canary: str
) -> None:
    modes: tuple[Mode, Mode] = ("shadow", "canary")
    for mode, expected in zip(modes, (shadow, canary), strict=True):
        why = difference(champion, challenger, mode=mode)

        assert expected in why
        assert bool(why) == bool(expected)
