"""Runs and parked arrivals over HTTP, from the host's own copy."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.registry.actor import Actor
from overnight.store.registry.runs import RunRecord, Runs
from tests.support.serving import bucket_history
from tests.support.serving.clients import remembering
from tests.support.serving.stepped_host import Flaky

NOW = datetime.now(UTC)
RUN = "00000000-0000-0000-0000-000000000001"
REFUSED = RunRecord(
    model="digits",
    flow="retrain",
    run=RUN,
    event="ended",
    outcome="Refused",
    message="5 of 47 gates failed",
    started=NOW - timedelta(hours=30),
    at=NOW - timedelta(hours=29),
    due=(NOW - timedelta(hours=5), NOW + timedelta(hours=19)),
)


@pytest.fixture
def bucket() -> Flaky:
    """A refused run, a missed one since, an arrival that waits and one that was decided."""
    bucket = Flaky()
    bucket_history.hand_over(bucket)
    Runs(bucket, "digits").keep(REFUSED)
    reviews = ArrivalReviews(bucket, "digits")
    for name in ("night-7", "night-8"):
        reviews.park(name, (), compared_with=None)
    reviews.decide("night-8", "accepted", Actor("ada", "it is genuine"))
    return bucket


@pytest.fixture
def client(worker, bucket):
    return remembering(worker(), bucket)


def test_a_refused_run_the_missed_and_the_next_one_are_told(client):
    answer = client.get("/api/models/digits/runs")

    (run,) = answer.json["runs"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert (run["run"], run["outcome"]) == (RUN, "Refused")
    assert run["message"] == "5 of 47 gates failed"
    missed, due = REFUSED.due or ()
    assert answer.json["missed"] == [missed.isoformat()]
    assert answer.json["next"] == due.isoformat()


def test_only_arrivals_that_nobody_decided_about_wait(client):
    waiting = client.get("/api/models/digits/runs").json["waiting"]

    assert [review["arrival"] for review in waiting] == ["night-7"]
