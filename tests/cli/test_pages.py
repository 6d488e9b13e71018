"""What `versions`, `show` and `status` gather, as programs read it."""

import json

import pytest

from cli import status_page, version_page, versions_page
from infra.settings import load
from infra.stack.ports import free_port
from store import versions
from store.aliases import Acknowledgement, AliasLog
from store.decisions import Decision, decide
from store.errors import NothingPublished, UnknownVersion
from store.memory import MemoryBucket
from tests.examples import AT, FILES, FINGERPRINT, VERSION, manifest

OLDER = "20261121T020000-0123456789ab"


@pytest.fixture
def bucket() -> MemoryBucket:
    """Two versions: the older one served and gave way, the newer one serves."""
    bucket = MemoryBucket()
    for version in (OLDER, VERSION):
        versions.publish(bucket, manifest(version=version), FILES)
    decide(bucket, Decision(model="digits", version=OLDER, verdict="approved", by="ada", reason=""))
    log = AliasLog(bucket, "digits")
    log.append(OLDER, over=None, by="ada", reason="the first")
    record = log.append(VERSION, over=OLDER, by="schedule", reason="retrained")
    log.acknowledge(record.sequence, Acknowledgement(replica="here", version=VERSION, serving=True))
    return bucket


def test_versions_come_oldest_first_with_decision_and_champion(bucket):
    older, newer = versions_page.gather(bucket, "digits")

    assert (older["version"], newer["version"]) == (OLDER, VERSION)
    assert (older["decision"], older["decided_by"]) == ("approved", "ada")
    assert (newer["decision"], newer["rows"], newer["made"]) == (None, 50_000, AT.isoformat())
    assert older["champion_since"] is None
    assert newer["champion_since"] is not None


def test_the_champion_is_shown_with_its_history(bucket):
    document, shown = version_page.gather(bucket, "digits", "champion")

    assert (shown.version, document["champion"]) == (VERSION, True)
    assert document["manifest"]["fingerprint"] == FINGERPRINT
    assert [one["action"] for one in document["history"]] == ["promoted"]
    assert json.dumps(document)


def test_a_version_that_gave_way_is_shown_with_what_replaced_it(bucket):
    document, _ = version_page.gather(bucket, "digits", OLDER)

    assert not document["champion"]
    assert [one["version"] for one in document["history"]] == [OLDER, VERSION]


@pytest.mark.parametrize("as_json", [True, False])
def test_pages_print(bucket, as_json, capsys):
    document, shown = version_page.gather(bucket, "digits", OLDER)

    version_page.show(document, shown, as_json=as_json)

    assert "gave way" in capsys.readouterr().out or as_json


def test_what_was_never_published_is_told_with_what_was(bucket):
    with pytest.raises(NothingPublished, match="digits"):
        versions_page.gather(bucket, "sales")
    with pytest.raises(NothingPublished):
        version_page.gather(bucket, "sales", "champion")
    with pytest.raises(UnknownVersion, match="overnight versions digits"):
        version_page.gather(bucket, "digits", "20200101T000000-0123456789ab")


def test_status_of_nothing_tells_what_does_not_answer(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    for name in ("S3", "PREFECT", "SERVING"):
        monkeypatch.setenv(f"OVERNIGHT_{name}_PORT", str(free_port()))

    document = status_page.gather(load())

    assert document["ready"] is False
    assert document["services"] == []
    assert set(document["addresses"]) == {"serving", "prefect", "store"}
    assert [problem.partition(" at ")[0] for problem in document["problems"]] == [
        "the object store",
        "Prefect",
    ]
    assert json.dumps(document)
