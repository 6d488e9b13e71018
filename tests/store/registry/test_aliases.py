"""The log of an alias is append-only, and exactly one writer wins each sequence."""

import threading

import pytest

from overnight.store.errors import CorruptRecord, PromotionConflict
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.aliases import Acknowledgement, AliasLog

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

    current = log.current(since=1)

    assert current is not None
    assert current.version == B
    assert log.at(3) is None


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

    for read in (log.current, log.history, lambda: log.at(2)):
        with pytest.raises(CorruptRecord, match=key):
            read()
    assert log.at(1) == first


@pytest.mark.parametrize("body", [b"{}", b"", b"\xff", b"[]"])
def test_what_is_no_record_is_told_by_its_key(body: bytes) -> None:
    bucket = MemoryBucket()
    key = keys.alias_record("digits", "champion", 1)
    bucket.create(key, body)

    with pytest.raises(CorruptRecord, match=f"{key}: expected a valid AliasRecord"):
        AliasLog(bucket, "digits").current()


def test_a_word_that_cannot_be_read_hides_no_other_ones() -> None:
    bucket = MemoryBucket()
    log = AliasLog(bucket, "digits")
    log.append(A, expected=None, actor=Actor("ann", "first"))
    bucket.create(keys.replica("digits", "champion", 1, "r0"), b"{}")
    log.acknowledge(1, Acknowledgement(replica="r1", version=A, serving=True))

    assert [acknowledgement.replica for acknowledgement in log.acknowledgements(1)] == ["r1"]
