"""The log of an alias when others write meanwhile, and what it says about records it skips."""

from collections.abc import Callable

import pytest

from overnight.store.errors import ConfigurationError, CorruptRecord, PromotionConflict
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.promotions import predecessor
from overnight.store.trust import record_signatures
from tests.support.signing_keys import SIGNER, TRUST, alias_log, named

A, B, C = (f"20261122T02000{n}-0123456789ab" for n in range(3))
ANN = Actor("ann", "better", authenticated=True)
SECOND = keys.alias_record("digits", "champion", 2)
AGAIN = "evaluate against it and promote again"


class Overtaken(MemoryBucket):
    """A bucket in which somebody acts just before the next object is created."""

    acts: Callable[[], object] | None = None

    def create(self, key: str, body: bytes) -> None:
        if self.acts is not None:
            acts, self.acts = self.acts, None
            acts()
        super().create(key, body)


@pytest.fixture
def bucket() -> Overtaken:
    bucket = Overtaken()
    alias_log(bucket).append(A, expected=None, actor=ANN)
    return bucket


def conflict(log: AliasLog, *, expected: str | None, after: int | None = None) -> str:
    with pytest.raises(PromotionConflict) as raised:
        log.append(C, expected=expected, actor=ANN, after=after)
    return str(raised.value)


def test_a_record_says_everything_about_a_promotion(bucket: Overtaken) -> None:
    record = alias_log(bucket).append(B, expected=A, actor=ANN)

    assert record.model_copy(update={"signed": None}) == AliasRecord(
        model="digits",
        alias="champion",
        sequence=2,
        version=B,
        previous=A,
        action="promoted",
        by="ann",
        reason="better",
        at=record.at,
        terms=None,
        champion_sequence=0,
        authenticated=True,
        id=record.id,
    )


def test_a_conflict_says_what_was_expected_and_what_is(bucket: Overtaken) -> None:
    log, empty = alias_log(bucket), alias_log(bucket, "sales")

    assert conflict(log, expected=B) == (
        f"digits@champion: expected {B} to be current, found {A}; {AGAIN}"
    )
    assert conflict(log, expected=A, after=7) == (
        f"digits@champion: expected {A} of record 7 to be current, found {A} of record 1; {AGAIN}"
    )
    assert conflict(empty, expected=None, after=7) == (
        "sales@champion: expected no version of record 7 to be current, "
        f"found none of record 0; {AGAIN}"
    )


def test_the_winner_of_a_number_is_named_to_the_loser(bucket: Overtaken) -> None:
    bucket.acts = lambda: alias_log(bucket).append(B, expected=A, actor=Actor("eve"))

    assert conflict(alias_log(bucket), expected=A) == (
        f"digits@champion: expected {A} to be current, found {B}; {AGAIN}"
    )


def forged(bucket: MemoryBucket) -> bytes:
    first = alias_log(bucket).at(1)
    assert first is not None
    return first.model_copy(update={"sequence": 2, "version": B, "signed": None}).encoded()


@pytest.mark.parametrize("body", [lambda _: b"{}", forged], ids=["damaged", "forged"])
def test_what_counts_for_nothing_wins_no_number(
    bucket: Overtaken, body: Callable[[MemoryBucket], bytes]
) -> None:
    bucket.acts = lambda: bucket.create(SECOND, body(bucket))

    record = alias_log(bucket).append(C, expected=A, actor=ANN)

    assert (record.sequence, record.previous) == (3, A)
    assert [each.sequence for each in alias_log(bucket).after(0)] == [1, 3]


NO_RECORD = "expected a valid AliasRecord"


def test_a_newest_record_that_does_not_count_is_logged_and_one_below_is_not(
    bucket: Overtaken, caplog: pytest.LogCaptureFixture
) -> None:
    # Given what is no record, first as the head of the log.
    log = alias_log(bucket)
    bucket.create(SECOND, b"{}")
    (entry,) = log.entries(after=1)
    assert NO_RECORD in str(entry.problem)

    log.current()

    assert caplog.messages == [f"digits@champion: record 2: {entry.problem}"]

    # Then below one that counts.
    caplog.clear()
    log.append(B, expected=A, actor=ANN)
    caplog.clear()
    assert [record.sequence for record in log.history()] == [1, 3]
    assert caplog.messages == []


def test_a_newest_record_of_a_lost_version_is_logged_and_the_one_before_counts(
    bucket: Overtaken, caplog: pytest.LogCaptureFixture
) -> None:
    alias_log(bucket).append(B, expected=A, actor=ANN)
    log = AliasLog(bucket, "digits", trust=TRUST, is_known=lambda version: version == A)

    current = log.current()

    assert current is not None
    assert current.version == A
    (message,) = caplog.messages
    assert message == (
        f"digits@champion: record 2 names {B}, which is missing or damaged; "
        "the record before it counts"
    )


def test_a_gap_has_no_records_and_hides_none(bucket: Overtaken) -> None:
    log = alias_log(bucket)
    log.append(B, expected=A, actor=ANN)
    log.append(C, expected=B, actor=ANN)
    assert [record.version for record in log.history(newest=1)] == [C]

    del bucket._objects[SECOND]

    assert log.sequences() == [1, 3]
    assert [record.version for record in log.history()] == [A, C]


def test_a_signature_beside_a_record_that_is_that_of_another_does_not_count(
    bucket: Overtaken,
) -> None:
    bucket.create(SECOND, forged(bucket))
    first = keys.alias_record("digits", "champion", 1)
    signature = record_signatures.sign(first, bucket._objects[first], SIGNER)
    beside = keys.alias_record_signature("digits", "champion", 2, SIGNER.key_id)
    bucket.create(beside, signature.encoded())

    (entry,) = alias_log(bucket).entries(after=1)

    assert str(entry.problem) == (
        f"{SECOND}: expected it to be signed with the right aliases or gates (by "
        f"{named(SIGNER)}), but it is not signed; if it is yours, `overnight keys sign digits` "
        "signs it; else find out who wrote it"
    )


def test_a_record_that_nobody_wrote_is_not_signed(bucket: Overtaken) -> None:
    with pytest.raises(CorruptRecord) as raised:
        alias_log(bucket).sign(2, SIGNER)

    assert str(raised.value).startswith(f"{SECOND}: expected a record, found nothing; ")


def test_a_champion_that_was_promoted_twice_in_a_row_served_once(bucket: Overtaken) -> None:
    log = alias_log(bucket)
    log.append(A, expected=A, actor=ANN)
    with pytest.raises(ConfigurationError, match=f"nothing served digits before {A}"):
        predecessor(log, A)

    log.append(B, expected=A, actor=ANN)
    log.append(B, expected=B, actor=ANN)

    assert predecessor(log, B) == A


def test_an_acknowledgement_under_a_name_outside_the_grammar_hides_no_other(
    bucket: Overtaken,
) -> None:
    report = Acknowledgement(replica="r1", version=A, serving=True)
    alias_log(bucket).acknowledge(1, report)
    bucket._objects[f"{keys.replicas('digits', 'champion', 1)}/no name"] = b"{}"

    assert alias_log(bucket).acknowledgements(1) == [report]
