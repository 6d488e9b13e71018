"""Candidates over HTTP: versions and refused ones, from the host's own copy."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.store.objects import keys
from overnight.store.registry.manifest import Finding, Measurement
from overnight.store.registry.refusals import Refusal, Refusals
from tests.support.serving import bucket_history, bundles
from tests.support.serving.clients import remembering
from tests.support.serving.stepped_host import Flaky

API = "/api/models/digits"
FIRST, SECOND, REJECTED, WAITING = (bundles.version_name(number) for number in (1, 2, 3, 4))
NOW = datetime.now(UTC)
DRIFT = Finding(
    gate="Drift", metric="distance", slice="ink", passed=True, message="", value=0.02, bound=0.1,
    direction="at most",
)  # fmt: skip
ROWS = Finding(
    gate="enough rows", metric="rows", passed=True, message="", value=51_000, bound=1_000,
    direction="at least",
)  # fmt: skip


def refusal(letter: str, *, measurements: tuple[Measurement, ...] = ()) -> Refusal:
    return Refusal(
        model="digits",
        fingerprint=letter * 64,
        findings=(bucket_history.REGRESSION,),
        compared_with=SECOND,
        at=NOW - timedelta(hours=1),
        measurements=measurements,
        data_findings=(ROWS, DRIFT) if measurements else (),
        rows=51_000 if measurements else None,
        seconds=62.5 if measurements else None,
    )


@pytest.fixture
def bucket() -> Flaky:
    """Two versions that served, one rejected, and two refusals, one of an earlier release."""
    bucket = Flaky()
    bucket_history.hand_over(bucket)
    bucket_history.publish(bucket, 3, approved=False)
    bucket_history.publish(bucket, 4, approved=None)
    whole = Measurement(metric="accuracy", value=0.9907, n=10_000, low=0.9887, high=0.9925)
    refusals = Refusals(bucket, "digits")
    refusals.keep(refusal("a", measurements=(whole,)))
    refusals.keep(refusal("b"))
    return bucket


@pytest.fixture
def client(worker, bucket):
    return remembering(worker(), bucket)


@pytest.fixture
def listed(client) -> dict[str, dict]:
    return {each["name"]: each for each in client.get(f"{API}/candidates").json["candidates"]}


def test_versions_and_refused_candidates_are_listed_with_their_outcomes(listed):
    outcomes = {name: each["outcome"] for name, each in listed.items()}

    assert outcomes == {
        f"refused-{'a' * 12}-{SECOND}": "refused",
        f"refused-{'b' * 12}-{SECOND}": "refused",
        FIRST: "served",
        SECOND: "champion",
        REJECTED: "rejected",
        WAITING: "pending",
    }
    times = [each["at"] for each in listed.values()]
    assert times == sorted(times, reverse=True)


def test_a_refused_one_has_its_metric_with_an_interval_its_rows_and_what_failed(listed):
    refused = listed[f"refused-{'a' * 12}-{SECOND}"]

    assert (refused["measured"]["value"], refused["measured"]["low"]) == (0.9907, 0.9887)
    assert (refused["rows"], refused["seconds"]) == (51_000, 62.5)
    assert (refused["judged"], refused["passed"]) == (1, 0)
    assert refused["failed"][0].startswith("accuracy 99.07 % against 99.48 %")
    # More rows than are needed are no distance.
    assert [each["slice"] for each in refused["distances"]] == ["ink"]


def test_of_a_record_without_metrics_the_gates_tell_what_they_know(listed):
    earlier = listed[f"refused-{'b' * 12}-{SECOND}"]

    assert (earlier["measured"]["value"], earlier["measured"]["low"]) == (0.9907, None)
    assert earlier["rows"] is None


def test_findings_of_each_are_given_on_demand(client):
    refused = client.get(f"{API}/candidates/refused-{'a' * 12}-{SECOND}/findings")
    version = client.get(f"{API}/candidates/{FIRST}/findings")

    assert [each["gate"] for each in refused.json["findings"]] == ["MaximumRegression"]
    assert len(version.json["findings"]) == len(tuple(bucket_history.findings(1)))


@pytest.mark.parametrize("name", ["nobody", "..%2F..%2Fcandidates", "20260101T000000-000000000000"])
def test_an_unknown_candidate_is_answered_with_those_that_are_known(client, name):
    answer = client.get(f"{API}/candidates/{name}/findings")

    assert answer.status_code == 404
    if "%2F" not in name:
        assert SECOND in answer.json["detail"]


def test_a_manifest_is_given_as_it_was_signed(client, bucket):
    answer = client.get(f"{API}/versions/{FIRST}/manifest")

    assert answer.data == bucket._objects[keys.manifest("digits", FIRST)]
    assert client.get(f"{API}/versions/{bundles.version_name(9)}/manifest").status_code == 404


def test_a_damaged_refusal_hides_no_other(worker, bucket):
    bucket.create(keys.refusal("digits", "c" * 64, None), b"{}")
    answer = remembering(worker(), bucket).get(f"{API}/candidates").json

    assert len(answer["candidates"]) == 6
    assert len(answer["damaged"]) == 1
