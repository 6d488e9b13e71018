"""Deployment history, versions and reports over HTTP, without requests to the store."""

import pytest

from tests.support.serving import bucket_history, bundles
from tests.support.serving.clients import application_of, remembering
from tests.support.serving.stepped_host import Flaky

FIRST, SECOND = bundles.version_name(1), bundles.version_name(2)


@pytest.fixture
def bucket() -> Flaky:
    """Two versions: the first served and gave way to the second."""
    bucket = Flaky()
    bucket_history.hand_over(bucket)
    return bucket


@pytest.fixture
def client(worker, bucket):
    return remembering(worker(), bucket)


def test_history_needs_no_request_to_the_store(client):
    answer = client.get("/api/models/digits/history")

    records = answer.get_json()["records"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert [
        (entry["alias"], entry["sequence"], entry["version"], entry["previous"])
        for entry in records
    ] == [
        ("champion", 2, SECOND, FIRST),
        ("champion", 1, FIRST, None),
    ]
    assert {"action", "by", "reason", "at"} <= records[0].keys()


def test_versions_are_listed_with_the_champion_marked(client):
    versions = client.get("/api/models/digits/versions").get_json()["versions"]

    assert [(entry["version"], entry["champion"], entry["loaded"]) for entry in versions] == [
        (SECOND, True, True),
        (FIRST, False, False),
    ]
    assert versions[0]["decision"]["verdict"] == "approved"
    assert versions[0]["measurements"][0]["metric"] == "accuracy"
    assert {"value", "bound", "n", "message"} <= versions[0]["findings"][0].keys()


def test_a_report_is_returned_unchanged_with_a_strict_policy(client):
    (newest, _) = client.get("/api/models/digits/versions").get_json()["versions"]

    answer = client.get(newest["report"])

    assert answer.data == bucket_history.REPORT
    assert answer.mimetype == "text/html"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize(
    "version", ["20260101T000000-0123456789ab", "..", "known", "%2e%2e%2fknown"]
)
def test_an_unknown_report_is_not_found(client, version):
    answer = client.get(f"/api/models/digits/versions/{version}/report")

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("path", ["history", "versions", "versions/x/report"])
def test_an_unknown_model_has_no_history(client, path):
    assert client.get(f"/api/models/sales/{path}").status_code == 404


def test_a_server_without_a_store_lists_its_loaded_versions():
    client = application_of()

    assert client.get("/api/models/digits/history").get_json() == {"records": [], "scores": []}
    (only,) = client.get("/api/models/digits/versions").get_json()["versions"]
    assert (only["version"], only["champion"], only["report"]) == (FIRST, True, None)
