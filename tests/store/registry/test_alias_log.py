"""The log of an alias is append-only, and exactly one writer wins each sequence."""

import json
import threading
from collections.abc import Callable

import pytest

from overnight.store.errors import CorruptRecord, PromotionConflict
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.promotions import predecessor
from overnight.store.trust import record_signatures
from overnight.store.trust.trusted_keys import Trust
from tests.support.signing_keys import SIGNER, alias_log, named, signer

A, B, C = (f"20261122T02000{n}-0123456789ab" for n in range(3))


@pytest.fixture
def log() -> AliasLog:
    return AliasLog(MemoryBucket(), "digits")


def test_an_alias_that_was_never_set_points_nowhere(log: AliasLog) -> None:
    assert log.current() is None
    assert log.history() == []
    assert log.at(1) is None


def test_each_promotion_is_one_more_record(log: AliasLog) -> None:
    first = log.append(A, expected=None, actor=Actor("ann", "first"))
    second = log.append(B, expected=A, actor=Actor("bob", "better"))

    assert log.history() == [first, second]
    assert log.current() == second
    assert (second.sequence, second.previous, second.by, second.reason) == (2, A, "bob", "better")


def test_a_promotion_over_what_is_no_longer_current_is_told_what_is(log: AliasLog) -> None:
    log.append(A, expected=None, actor=Actor("ann", "first"))
    log.append(B, expected=A, actor=Actor("bob", "better"))

    with pytest.raises(PromotionConflict, match=f"expected {A} to be current, found {B}"):
        log.append(C, expected=A, actor=Actor("eve", "late"))


def test_of_many_promotions_at_once_one_wins_and_the_others_learn_who(log: AliasLog) -> None:
    log.append(A, expected=None, actor=Actor("ann", "first"))
    won: list[str] = []
    winners: list[str | None] = []

    def promote(who: int) -> None:
        version = f"20261122T03000{who}-0123456789ab"
        try:
            won.append(log.append(version, expected=A, actor=Actor(str(who), "race")).version)
        except PromotionConflict as conflict:
            winners.append(conflict.found)

    threads = [threading.Thread(target=promote, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert winners == won * 7
    assert [record.version for record in log.history()] == [A, *won]


def test_following_asks_for_the_next_record_only(log: AliasLog) -> None:
    log.append(A, expected=None, actor=Actor("ann", "first"))
    log.append(B, expected=A, actor=Actor("ann", "second"))

    assert [record.version for record in log.after(1)] == [B]
    assert list(log.after(2)) == []


def test_what_a_replica_said_first_about_a_record_stands(log: AliasLog) -> None:
    log.append(A, expected=None, actor=Actor("ann", "first"))
    log.acknowledge(1, Acknowledgement(replica="r1", version=A, serving=False, reason="too big"))
    log.acknowledge(1, Acknowledgement(replica="r1", version=A, serving=True))
    log.acknowledge(1, Acknowledgement(replica="r2", version=A, serving=True))

    reports = {
        acknowledgement.replica: (acknowledgement.serving, acknowledgement.reason)
        for acknowledgement in log.acknowledgements(1)
    }

    assert reports == {"r1": (False, "too big"), "r2": (True, "")}
    assert log.sequences() == [1]


STRAYS = ("99999999.json/replicas/x", "00000003.json/x", "².json", "12.json", "00000003/replicas/x")


@pytest.mark.parametrize("stray", STRAYS)
def test_names_that_only_stand_for_what_is_below_them_are_no_records(stray: str) -> None:
    bucket = MemoryBucket()
    log = AliasLog(bucket, "digits")
    first = log.append(A, expected=None, actor=Actor("ann", "first"))
    second = log.append(B, expected=A, actor=Actor("ann", "second"))
    # Whoever wrote it goes by no grammar of ours.
    bucket._objects[f"{keys.alias('digits', 'champion')}/{stray}"] = b"x"

    assert log.current() == second
    assert log.history() == [first, second]
    assert log.sequences() == [1, 2]
    assert log.append(C, expected=B, actor=Actor("ann", "third")).sequence == 3


def test_names_below_an_empty_log_make_no_record() -> None:
    bucket = MemoryBucket()
    log = AliasLog(bucket, "digits")
    bucket.create(f"{keys.alias('digits', 'champion')}/00000007.json/x", b"x")

    assert log.current() is None
    assert log.sequences() == []
    assert log.append(A, expected=None, actor=Actor("ann", "first")).sequence == 1


@pytest.mark.parametrize(
    "reports",
    [{"model": "sales"}, {"alias": "challenger"}, {"sequence": 0}, {"sequence": 1}],
    ids=str,
)
def test_a_record_that_says_it_is_another_is_believed_by_nobody(reports: dict[str, object]) -> None:
    bucket = MemoryBucket()
    log = AliasLog(bucket, "digits")
    first = log.append(A, expected=None, actor=Actor("ann", "first"))
    planted = first.model_copy(update={"sequence": 2, "version": B} | reports)
    key = keys.alias_record("digits", "champion", 2)
    bucket.create(key, planted.model_dump_json().encode())

    with pytest.raises(CorruptRecord, match=key):
        log.at(2)
    assert (log.current(), log.history(), list(log.after(1))) == (first, [first], [])


@pytest.mark.parametrize("body", [b"{}", b"", b"\xff", b"[]"])
def test_what_is_no_record_is_told_by_its_key(body: bytes) -> None:
    bucket = MemoryBucket()
    key = keys.alias_record("digits", "champion", 1)
    bucket.create(key, body)

    log = AliasLog(bucket, "digits")
    with pytest.raises(CorruptRecord, match=f"{key}: expected a valid AliasRecord"):
        log.at(1)
    assert log.current() is None
    assert log.append(A, expected=None, actor=Actor("ann", "first")).sequence == 2


NOT_OF_A_CHAMPION = [
    {"action": "stopped"},
    {"action": "started"},
    {"version": "latest"},
    {"version": "20261122T020001"},
    {"previous": "../etc"},
]


@pytest.mark.parametrize("says", NOT_OF_A_CHAMPION, ids=str)
def test_a_record_that_no_champion_can_have_counts_for_nothing_and_stops_nobody(
    says: dict[str, object],
) -> None:
    # Given a champion, and a record that is well signed and none of a champion's.
    bucket = MemoryBucket()
    log = alias_log(bucket)
    first = log.append(A, expected=None, actor=Actor("ann", "first"))
    key = keys.alias_record("digits", "champion", 2)
    planted = first.model_copy(update={"sequence": 2, "previous": A} | says)
    bucket.create(key, planted.signed_by(SIGNER, key).encoded())

    # Then the champion stays, and the next one is written after it.
    assert log.current() == first
    assert log.append(B, expected=A, actor=Actor("ann", "second")).sequence == 3
    assert [record.version for record in log.history()] == [A, B]


@pytest.mark.parametrize("sequence", [4, 7, 99_999_998, 99_999_999])
def test_a_number_beyond_the_end_of_a_log_is_not_its_head(sequence: int) -> None:
    # Given two records, and one far beyond them that nobody signed.
    bucket = MemoryBucket()
    log = alias_log(bucket)
    first = log.append(A, expected=None, actor=Actor("ann", "first"))
    second = log.append(B, expected=A, actor=Actor("ann", "second"))
    planted = first.model_copy(update={"sequence": sequence, "signed": None})
    bucket.create(keys.alias_record("digits", "champion", sequence), planted.encoded())

    # Then the log ends where it did, and goes on from there.
    assert (log.current(), log.sequences()) == (second, [1, 2])
    assert log.append(C, expected=B, actor=Actor("ann", "third")).sequence == 3


def test_a_signed_record_after_a_lost_one_is_still_the_head() -> None:
    bucket = MemoryBucket()
    log = alias_log(bucket)
    for version, before in ((A, None), (B, A), (C, B)):
        last = log.append(version, expected=before, actor=Actor("ann", "next"))
    del bucket._objects[keys.alias_record("digits", "champion", 2)]

    assert log.current() == last
    assert log.append(A, expected=C, actor=Actor("ann", "fourth")).sequence == 4


def _unsigned(record: AliasRecord, key: str) -> AliasRecord:
    return record.model_copy(update={"signed": None})


def _by_a_stranger(record: AliasRecord, key: str) -> AliasRecord:
    return record.signed_by(signer("a stranger"), key)


def _by_serving(record: AliasRecord, key: str) -> AliasRecord:
    return record.signed_by(SERVING, key)


def _of_another_sequence(record: AliasRecord, key: str) -> AliasRecord:
    return record.signed_by(SIGNER, key.replace("00000002", "00000001"))


def _of_another_version(record: AliasRecord, key: str) -> AliasRecord:
    return record.signed_by(SIGNER, key).model_copy(update={"version": C})


SERVING = signer("serving")
FORGED = [_unsigned, _by_a_stranger, _by_serving, _of_another_sequence, _of_another_version]


@pytest.mark.parametrize("forge", FORGED)
def test_a_record_without_a_signature_that_counts_is_skipped_and_stops_nobody(
    forge: Callable[[AliasRecord, str], AliasRecord],
) -> None:
    # Given a signed champion, and a record on top that no key with this right signed.
    bucket = MemoryBucket()
    trust = Trust([named(SIGNER), named(SERVING, "serving", "withdrawals")])
    log = alias_log(bucket, trust=trust)
    first = log.append(A, expected=None, actor=Actor("ann", "first"))
    key = keys.alias_record("digits", "champion", 2)
    planted = first.model_copy(update={"sequence": 2, "version": B, "previous": A})
    bucket.create(key, forge(planted, key).encoded())

    # Then nobody sees it as champion, and the next promotion goes on top of it.
    assert (log.current(), log.history()) == (first, [first])
    (entry,) = log.entries(after=1)
    assert "with the right aliases or gates" in str(entry.problem)
    assert log.append(C, expected=A, actor=Actor("ann", "second")).sequence == 3
    assert log.current() is not None
    assert [record.version for record in log.history()] == [A, C]


def test_a_field_that_occurs_twice_is_read_as_it_was_signed() -> None:
    # Given a signed record into which another version was written before the signed one.
    bucket = MemoryBucket()
    log = alias_log(bucket)
    first = log.append(A, expected=None, actor=Actor("ann", "first"))
    key = keys.alias_record("digits", "champion", 1)
    for doubled in (
        b'{"version": "%s",' % B.encode(),
        b'{"version": "%s", "id": "x",' % B.encode(),
    ):
        bucket._objects[key] = first.encoded().replace(b"{", doubled, 1)

        # Then the version is the signed one, whichever a parser takes.
        current = log.current()
        assert current is not None
        assert current.version == A


def test_unsigned_records_of_an_earlier_release_are_history_up_to_the_first_signed_one() -> None:
    # Given a log of an earlier release, and a promotion by this one.
    bucket = MemoryBucket()
    old = AliasLog(bucket, "digits")
    old.append(A, expected=None, actor=Actor("ann", "first"))
    log = alias_log(bucket)
    assert log.current() == old.current()
    log.append(B, expected=A, actor=Actor("ann", "second"))

    # When somebody writes another one without a signature, then it does not count.
    old.append(C, expected=B, actor=Actor("eve", "mine"))

    assert [record.version for record in log.history()] == [A, B]
    assert predecessor(log, B) == A


def test_a_signature_beside_a_record_counts_like_one_in_it() -> None:
    bucket = MemoryBucket()
    AliasLog(bucket, "digits").append(A, expected=None, actor=Actor("ann", "first"))
    log = alias_log(bucket)
    assert [entry.signer for entry in log.entries()] == [None]

    log.sign(1, SIGNER)

    assert [entry.signer for entry in log.entries()] == [named(SIGNER)]


def test_a_reader_that_does_not_know_a_field_still_verifies_the_record() -> None:
    # Given a record of a later release, which has one field more.
    bucket = MemoryBucket()
    log = alias_log(bucket)
    log.append(A, expected=None, actor=Actor("ann", "first"))
    key = keys.alias_record("digits", "champion", 1)
    later = json.loads(bucket.read(key, 10_000)) | {"invented_later": [1, 0.5]}
    signature = record_signatures.sign(key, json.dumps(later).encode(), SIGNER)
    bucket._objects[key] = json.dumps(later | {"signed": signature.model_dump()}).encode()

    current = log.current()

    assert current is not None
    assert current.version == A


def test_a_word_that_cannot_be_read_hides_no_other_ones() -> None:
    bucket = MemoryBucket()
    log = AliasLog(bucket, "digits")
    log.append(A, expected=None, actor=Actor("ann", "first"))
    bucket.create(keys.replica("digits", "champion", 1, "r0"), b"{}")
    log.acknowledge(1, Acknowledgement(replica="r1", version=A, serving=True))

    assert [acknowledgement.replica for acknowledgement in log.acknowledgements(1)] == ["r1"]
