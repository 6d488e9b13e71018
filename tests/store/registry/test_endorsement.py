"""Endorsement: a key signs what an earlier release stored unsigned, or what another key signed."""

from collections.abc import Callable

import pytest

from overnight.store.errors import OvernightError, StoreUnavailable, UntrustedRecord
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasRecord
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Challenges, Withdrawal
from overnight.store.registry.endorsement import endorse
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.record_signatures import RecordSignature
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import Trust
from tests.support.examples import FILES, manifest
from tests.support.signing_keys import GATES, IDENTITIES, PEOPLE, named, registry, signer

A, B, C, REJECTED = (f"20261122T02000{n}-0123456789ab" for n in range(4))
ANN = Actor("ann", "as ever")
# Everything that was chosen in the history of `write_history`.
ALL = [
    f"digits {A}: its approval by ann",
    f"digits {B}: its approval by ann",
    f"digits: record 2, which names {B}",
    f"digits@challenger: record 1, which names {C}",
]


def write_history(bucket: MemoryBucket, signer: Callable[[], Signer] | None) -> AliasRecord:
    """Two champions one after the other, a shadow that was withdrawn, and a rejected version."""
    versions = ModelRegistry(bucket, "digits", signer=signer)
    for version in (A, B, C, REJECTED):
        versions.publish(manifest(version=version), FILES, GATES)
    for version in (A, B):
        versions.decisions.decide(version, "approved", ANN)
    versions.decisions.decide(REJECTED, "rejected", ANN)
    Promotions(versions).promote(A, expected=None, actor=ANN)
    Promotions(versions).promote(B, expected=A, actor=ANN)
    challenges = Challenges.of(versions)
    shadow = challenges.start(C, terms=Terms(mode="shadow"), actor=ANN)
    challenges.withdraw(shadow, Withdrawal(replica="here", version=C, reason="too slow"))
    return shadow


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def shadow(bucket: MemoryBucket) -> AliasRecord:
    """The challenge in a history of an earlier release, which signed manifests alone."""
    return write_history(bucket, None)


def people(bucket: MemoryBucket) -> ModelRegistry:
    return registry(bucket, trust=IDENTITIES, by=PEOPLE)


def signs(bucket: MemoryBucket, *, confirmed: bool = True) -> list[str]:
    return list(endorse(people(bucket), PEOPLE, confirmed=confirmed))


def signers(versions: ModelRegistry) -> list[list[str]]:
    """Whose signature counts, by log and record."""
    return [
        [str(entry.signer and entry.signer.name) for entry in log.entries()]
        for log in (versions.champion, versions.challenger)
    ]


def test_what_an_earlier_release_chose_is_signed_once_a_person_confirms_it(
    bucket: MemoryBucket, shadow: AliasRecord
) -> None:
    assert signs(bucket) == ALL

    # Then decisions, newest records and the withdrawal count, and the rest is as it was.
    versions = people(bucket)
    for version in (A, B):
        approved = versions.decisions.approval(manifest(version=version))
        assert approved is not None
        assert approved.signature.key_id == PEOPLE.key_id
        body = bucket.read(keys.decision("digits", version), 10_000)
        assert approved.body == body
    assert signers(versions) == [["None", "people"], ["people"]]
    ended = Challenges.of(versions).current()
    assert ended is not None
    assert ended.record.signed is not None
    assert ended.withdrawal is not None
    assert (ended.withdrawal.reason, ended.withdrawal.signed is None) == ("too slow", False)
    # And signing again changes nothing.
    before = dict(bucket._objects)
    assert signs(bucket) == []
    assert bucket._objects == before


def test_without_a_confirmation_nothing_unsigned_is_signed(
    bucket: MemoryBucket, shadow: AliasRecord
) -> None:
    before = dict(bucket._objects)

    lines = signs(bucket, confirmed=False)

    assert bucket._objects == before
    assert [line.partition(": expected")[0] for line in lines] == [
        f"not signed: {keys.decision('digits', A)}",
        f"not signed: {keys.decision('digits', B)}",
        f"not signed: models/digits/aliases/champion/00000002.json, by which ann chose {B}",
        f"not signed: models/digits/aliases/challenger/00000001.json, by which ann chose {C}",
    ]


def test_what_a_key_signed_is_signed_by_its_successor(bucket: MemoryBucket) -> None:
    # Given a history that a person signed whose key is replaced, while both are trusted.
    write_history(bucket, lambda: PEOPLE)
    new = signer("new people")
    both = Trust([*IDENTITIES.keys.values(), named(new, "new", "decisions", "aliases")])
    versions = registry(bucket, trust=both, by=new)

    lines = list(endorse(versions, new, confirmed=False))

    # Then each record has a second signature, and the first key can be revoked.
    assert lines == [*ALL[:2], f"digits: record 1, which names {A}", *ALL[2:]]
    after = Trust([key for key in both.keys.values() if key.name != "people"])
    later = registry(bucket, trust=after, by=new)
    assert signers(later) == [["new", "new"], ["new"]]
    challenge = Challenges.of(later).current()
    assert challenge is not None
    assert challenge.withdrawal is not None
    assert challenge.withdrawal.signed is not None
    assert challenge.withdrawal.signed.key_id == new.key_id
    for version in (A, B):
        assert later.decisions.approval(manifest(version=version)) is not None
    assert list(endorse(later, new, confirmed=False)) == []


def test_an_unsigned_champion_that_nobody_approved_is_not_signed(
    bucket: MemoryBucket, shadow: AliasRecord
) -> None:
    # Given that somebody pointed the champion at a version without a decision.
    ModelRegistry(bucket, "digits").champion.append(C, expected=B, actor=Actor("eve"))

    lines = signs(bucket)

    assert lines == [
        *ALL[:2],
        (
            f"not signed: {keys.decision('digits', C)}: expected it to be signed with the right "
            "decisions or gates, but nobody has decided about it; "
            f"`overnight approve digits {C}`"
        ),
        ALL[3],
    ]
    assert signers(people(bucket))[0] == ["None"] * 3


def test_a_damaged_record_stops_no_other(bucket: MemoryBucket, shadow: AliasRecord) -> None:
    damaged = keys.decision("digits", A)
    bucket._objects[damaged] = b"{}"

    lines = signs(bucket)

    assert lines[0].startswith(f"not signed: {damaged}: expected a valid Decision, found ")
    assert lines[1:] == ALL[1:]


def test_a_damaged_withdrawal_ended_nothing_and_stops_no_signature(
    bucket: MemoryBucket, shadow: AliasRecord
) -> None:
    bucket._objects[keys.withdrawal("digits", "challenger", 1)] = b"{}"

    assert signs(bucket) == ALL


@pytest.mark.parametrize("sequence", [1])
def test_a_challenge_without_a_withdrawal_is_signed_alone(
    bucket: MemoryBucket, shadow: AliasRecord, sequence: int
) -> None:
    del bucket._objects[keys.withdrawal("digits", "challenger", sequence)]

    assert signs(bucket) == ALL
    by = keys.withdrawal_signature("digits", "challenger", sequence, PEOPLE.key_id)
    assert by not in bucket._objects


class Down(MemoryBucket):
    """A bucket that stops answering when a decision is read."""

    def read(self, key: str, limit: int) -> bytes:
        if key.endswith("/decision.json"):
            raise StoreUnavailable("http://store", "cut off")
        return super().read(key, limit)


def test_an_outage_ends_it() -> None:
    bucket = Down()
    ModelRegistry(bucket, "digits").publish(manifest(version=A), FILES, GATES)

    with pytest.raises(StoreUnavailable):
        signs(bucket)


def test_a_challenge_is_ended_only_by_a_withdrawal_that_serving_or_people_signed(
    bucket: MemoryBucket,
) -> None:
    # Given a signed challenge, and a withdrawal without a signature.
    shadow = write_history(bucket, lambda: PEOPLE)
    key = keys.withdrawal("digits", "challenger", 1)
    forged = Withdrawal(replica="nowhere", version=C, reason="forged")
    bucket._objects[key] = forged.encoded()
    challenges = Challenges.of(people(bucket))

    with pytest.raises(UntrustedRecord) as raised:
        challenges.withdrawal(shadow)
    with pytest.raises(UntrustedRecord):
        challenges.withdraw(shadow, forged)

    assert str(raised.value).startswith(
        f"{key}: expected it to be signed with the right aliases or withdrawals (by "
    )
    # But that of a challenge which nobody signed counts, as earlier releases wrote both.
    unsigned = shadow.model_copy(update={"signed": None})
    assert challenges.withdrawal(unsigned) == forged
    assert Challenges(bucket, "digits").withdrawal(shadow) == forged


def test_a_withdrawal_is_signed_under_its_key_and_the_first_one_stands(
    bucket: MemoryBucket,
) -> None:
    shadow = write_history(bucket, lambda: PEOPLE)
    challenges = Challenges.of(people(bucket))

    first = challenges.withdrawal(shadow)
    late = challenges.withdraw(shadow, Withdrawal(replica="b", version=C, reason="disagrees"))

    assert first is not None
    assert isinstance(first.signed, RecordSignature)
    assert (first.replica, first.reason, late) == ("here", "too slow", first)


@pytest.mark.parametrize("body", [b"?", b"x" * 2_000_000], ids=["bad", "long"])
def test_a_withdrawal_that_cannot_be_read_is_told_by_its_key(
    bucket: MemoryBucket, shadow: AliasRecord, body: bytes
) -> None:
    key = keys.withdrawal("digits", "challenger", 1)
    bucket._objects[key] = body

    with pytest.raises(OvernightError) as read:
        Challenges.of(people(bucket)).withdrawal(shadow)
    with pytest.raises(OvernightError) as signed:
        Challenges.of(people(bucket)).sign_withdrawal(shadow, PEOPLE)

    assert str(read.value) == str(signed.value)
    assert str(read.value).startswith(f"{key}: expected a")
    assert "Withdrawal" in str(read.value)


@pytest.mark.parametrize(
    ("mode", "version", "why"),
    [
        ("shadow", C, None),
        ("shadow", A, "it is not signed"),
        ("canary", A, "it is not signed"),
    ],
)
def test_a_challenger_needs_a_signed_decision_where_there_is_one(
    bucket: MemoryBucket, mode: str, version: str, why: str | None
) -> None:
    # Given a champion whose approval is signed, and an approval of another that is not.
    unsigned, versions = ModelRegistry(bucket, "digits"), people(bucket)
    for published in (A, B, C):
        unsigned.publish(manifest(version=published), FILES, GATES)
    versions.decisions.decide(B, "approved", ANN)
    unsigned.decisions.decide(A, "approved", ANN)
    Promotions(versions).promote(B, expected=None, actor=ANN)
    terms = Terms.model_validate({"mode": mode})

    if why is None:
        record = Challenges.of(versions).start(version, terms=terms, actor=ANN)
        assert (record.version, record.signed is None) == (version, False)
        return
    with pytest.raises(UntrustedRecord, match=why):
        Challenges.of(versions).start(version, terms=terms, actor=ANN)
