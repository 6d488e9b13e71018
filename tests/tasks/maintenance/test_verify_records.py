"""Findings of an audit on records and versions, over a bucket in memory."""

from datetime import UTC, datetime

import pytest

from overnight.store.datasets.landing import Landing
from overnight.store.maintenance.audit_rules import Audit
from overnight.store.maintenance.repair import restate_champion
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenges import Challenges, Withdrawal
from overnight.store.registry.live_scores import LiveScores, Score
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tombstones import Tombstone
from overnight.tasks.maintenance.audit import AuditContext, verify
from tests.support.examples import FILES, manifest
from tests.support.signing_keys import SIGNER, TRUST, alias_log, registry

VERSION = "20261120T020000-0123456789ab"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
REPORT = {**FILES, "report.html": b"why"}


@pytest.fixture
def bucket() -> MemoryBucket:
    made = MemoryBucket()
    ModelRegistry(made, "digits").publish(manifest(REPORT, version=VERSION), REPORT, SIGNER)
    return made


def audit(bucket: MemoryBucket) -> Audit:
    return verify(AuditContext(bucket, lambda _model, _name: None, TRUST))  # type: ignore[arg-type, return-value]


def errors(bucket: MemoryBucket) -> dict[str, str]:
    """What is found, less the dataset, which there is none of here."""
    return {
        item.key: item.what
        for item in audit(bucket).findings
        if not item.key.startswith("datasets/")
    }


def test_a_score_of_an_arrival_with_a_long_name_is_in_its_place(bucket):
    LiveScores(bucket, "digits").keep(
        Score(model="digits", version=VERSION, arrival="a" * 252, n=5, measurements=())
    )

    assert errors(bucket) == {}


def test_a_misplaced_score_is_reported(bucket):
    score = Score(model="digits", version=VERSION, arrival="monday", n=5, measurements=())
    bucket.create(keys.score("digits", VERSION, "tuesday"), score.model_dump_json().encode())

    [reported] = errors(bucket).values()

    assert "its arrival is monday" in reported


def test_a_version_folder_with_an_invalid_time_is_a_stray(bucket):
    key = "models/digits/versions/20261399T000000-0123456789ab/a.npz"
    bucket.create(key, b"x")

    assert errors(bucket) == {key: "nothing of ours reads this key"}


def review(bucket: MemoryBucket, was: str) -> None:
    reported = Tombstone.model_validate(
        {"model": "digits", "version": VERSION, "was": was, "files": [], "size_bytes": 0}
        | {"by": "gc", "reason": "half-written"}
    )
    bucket.create(keys.tombstone("digits", VERSION), reported.encoded())


def take_away(bucket: MemoryBucket, *names: str) -> None:
    for key in [key for key in bucket._objects if key.endswith(names)]:
        del bucket._objects[key]


def test_a_version_published_while_it_was_deleted_half_written_is_no_damage(bucket):
    review(bucket, "half-written")
    take_away(bucket, ".npz", ".tflite", ".html", ".keras", f"{SIGNER.key_id}.json")

    assert errors(bucket) == {}


def test_a_missing_report_of_a_deleted_version_is_damage(bucket):
    review(bucket, "published")
    take_away(bucket, ".npz", ".tflite", ".keras", ".html")

    assert errors(bucket).keys() == {keys.version_file("digits", VERSION, "report.html")}


def test_a_missing_decision_of_a_champion_has_a_remedy(bucket):
    ModelRegistry(bucket, "digits").decisions.decide(VERSION, "approved", Actor("ada", "good"))
    AliasLog(bucket, "digits").append(VERSION, expected=None, actor=Actor("ada", "good"))
    take_away(bucket, "decision.json")

    [result] = [item for item in audit(bucket).findings if "champion" in item.what]

    assert "--repair --from" in result.remedy


def test_an_unreadable_tombstone_is_reported_with_the_missing_files(bucket):
    bucket.create(keys.tombstone("digits", VERSION), b"garbled")
    take_away(bucket, "predictor.tflite")

    reported = errors(bucket)

    assert "it cannot be read" in reported[keys.tombstone("digits", VERSION)]
    assert "missing" in reported[keys.version_file("digits", VERSION, "predictor.tflite")]


class Taken:
    """The tables of a dataset that took in some arrivals."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def arrival_names(self) -> set[str]:
        return {*self._names}


@pytest.mark.parametrize(
    ("damage", "reported"),
    [(None, "not ingested yet, and is missing"), (b"2", "has other bytes than were delivered")],
)
def test_a_missing_or_changed_landed_file_is_reported_until_it_is_ingested(
    bucket, damage, reported
):
    arrival = Landing(bucket, "digits").land(
        "monday", {"a.csv": b"1", "b.csv": b"2"}, by="ada", at=NOW
    )
    key = arrival.key("a.csv")
    assert errors(bucket) == {}
    del bucket._objects[key]
    if damage is not None:
        bucket.create(key, damage)

    def findings(table: Taken) -> dict[str, str]:
        audit = verify(AuditContext(bucket, lambda _model, _name: table, TRUST))  # type: ignore[arg-type, return-value]
        return {item.key: item.what for item in audit.findings if item.key.startswith("landing/")}

    [(where, what)] = findings(Taken("tuesday")).items()
    assert where == key
    assert reported in what
    assert findings(Taken("monday")) == {}


def test_a_forged_record_is_found_and_mended_by_naming_the_champion_once_more(bucket):
    # Given a champion, and on top of its log a record that nobody signed.
    signing = registry(bucket)
    signing.decisions.decide(VERSION, "approved", Actor("gates", "good"))
    champion = Promotions(signing).promote(VERSION, expected=None, actor=Actor("gates", "good"))
    forged = champion.model_copy(update={"sequence": 2, "signed": None, "id": "x"})
    key = keys.alias_record("digits", "champion", 2)
    bucket.create(key, forged.encoded())
    assert "it is not signed" in errors(bucket)[key]

    # When the log is mended.
    record = restate_champion(signing, Actor("verify", "the record before does not count"))

    # Then it ends with the champion, and the forged record is only history.
    assert record is not None
    assert (record.sequence, record.version) == (3, VERSION)
    assert errors(bucket) == {}
    assert restate_champion(signing, Actor("verify")) is None


@pytest.mark.parametrize("body", [b"{}", b"no json"])
def test_an_object_that_is_no_record_is_mended_too(bucket, body):
    signing = registry(bucket)
    signing.decisions.decide(VERSION, "approved", Actor("gates", "good"))
    Promotions(signing).promote(VERSION, expected=None, actor=Actor("gates", "good"))
    key = keys.alias_record("digits", "champion", 2)
    bucket.create(key, body)
    assert "cannot be read" in errors(bucket)[key]

    record = restate_champion(signing, Actor("verify", "the record before does not count"))

    assert record is not None
    assert signing.champion.current() == record


def test_a_number_far_beyond_a_log_is_one_finding(bucket):
    signing = registry(bucket)
    signing.decisions.decide(VERSION, "approved", Actor("gates", "good"))
    champion = Promotions(signing).promote(VERSION, expected=None, actor=Actor("gates", "good"))
    stray = champion.model_copy(update={"sequence": 99_999_999})
    key = keys.alias_record("digits", "champion", 99_999_999)
    bucket.create(key, stray.encoded())

    assert {*errors(bucket)} == {key}


def test_an_unsigned_approval_and_withdrawal_are_found(bucket):
    # Given an approval and a withdrawal without signatures, of a signed challenge.
    ModelRegistry(bucket, "digits").decisions.decide(VERSION, "approved", Actor("a forger", "good"))
    started = alias_log(bucket, "digits", CHALLENGER).append(
        VERSION, expected=None, actor=Actor("ada", "a try"), action="started"
    )
    forged = Withdrawal(replica="nowhere", version=VERSION, reason="forged")
    Challenges(bucket, "digits").withdraw(started, forged)

    reported = errors(bucket)

    assert "it is not signed" in reported[keys.decision("digits", VERSION)]
    assert "it withdraws nothing" in reported[keys.withdrawal("digits", CHALLENGER, 1)]
