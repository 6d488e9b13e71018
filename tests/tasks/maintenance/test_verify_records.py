"""Findings of an audit on records and versions, over a bucket in memory."""

from datetime import UTC, datetime

import pytest

from overnight.store.datasets.landing import Landing
from overnight.store.maintenance.audit_rules import Audit
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.aliases import AliasLog
from overnight.store.registry.live_scores import LiveScores, Score
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tombstones import Tombstone
from overnight.tasks.maintenance.audit import AuditContext, verify
from tests.support.examples import FILES, manifest
from tests.support.signing_keys import SIGNER, TRUST

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
    ModelRegistry(bucket, "digits").decide(VERSION, "approved", Actor("ada", "good"))
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
