"""What the leader does next, case by case."""

import pytest

from overnight.serving.host.workers import ModelReport
from overnight.serving.lifecycle.rollout_policy import (
    PREPARE_SECONDS,
    Acknowledge,
    Activate,
    HostState,
    Poll,
    Reject,
    Wait,
    decide,
)

NEW, OLD = 8, 7
PREPARED = ModelReport(prepared=(OLD, NEW), oldest_in_use=OLD)
PREPARING = ModelReport(prepared=(OLD,), oldest_in_use=OLD)
REFUSING = ModelReport(prepared=(OLD,), refused={NEW: "it smells"}, oldest_in_use=OLD)
DRAINED = ModelReport(prepared=(OLD, NEW), oldest_in_use=NEW)


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([PREPARED, PREPARED], Activate(NEW)),
        ([PREPARED], Activate(NEW)),
        ([PREPARED, PREPARING], Wait()),
        ([PREPARED, ModelReport()], Wait()),
        ([PREPARED, REFUSING], Reject(NEW, "it smells")),
        ([PREPARING, REFUSING], Reject(NEW, "it smells")),
        ([], Wait()),
    ],
    ids=["all", "the only one", "one is slow", "one is new", "one refuses", "at once", "nobody"],
)
def test_a_proposal_is_activated_when_all_living_workers_prepared_it(workers, expected):
    assert decide(HostState(current=OLD, proposed=NEW, workers=workers)) == expected


def test_a_worker_that_never_prepares_a_proposal_has_it_rejected():
    situation = HostState(
        current=OLD,
        proposed=NEW,
        workers=[PREPARED, PREPARING],
        open_seconds=PREPARE_SECONDS + 1,
    )
    assert decide(situation) == Reject(NEW, "1 of 2 workers had prepared it after 120 s")


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([DRAINED, DRAINED], Acknowledge(NEW)),
        ([DRAINED, PREPARED], Wait()),
        ([DRAINED, ModelReport()], Wait()),
    ],
    ids=["all drained", "a request is still answered by the old", "a worker has not spoken"],
)
def test_a_version_is_acknowledged_once_no_request_uses_an_older_one(workers, expected):
    situation = HostState(current=NEW, proposed=NEW, workers=workers, acknowledged=False)
    assert decide(situation) == expected


@pytest.mark.parametrize("current", [0, NEW])
def test_without_an_open_proposal_the_store_is_polled(current):
    assert decide(HostState(current=current, proposed=current, workers=[])) == Poll()
