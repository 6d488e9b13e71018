"""What the leader does next, case by case."""

import pytest

from serving.decision import (
    PREPARE_SECONDS,
    Acknowledge,
    Flip,
    Follow,
    Situation,
    Wait,
    Withdraw,
    decide,
)
from serving.presence import Said

NEW, OLD = 8, 7
PREPARED = Said(prepared=(OLD, NEW), oldest_in_use=OLD)
PREPARING = Said(prepared=(OLD,), oldest_in_use=OLD)
REFUSING = Said(prepared=(OLD,), refused={NEW: "it smells"}, oldest_in_use=OLD)
DRAINED = Said(prepared=(OLD, NEW), oldest_in_use=NEW)


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([PREPARED, PREPARED], Flip(NEW)),
        ([PREPARED], Flip(NEW)),
        ([PREPARED, PREPARING], Wait()),
        ([PREPARED, Said()], Wait()),
        ([PREPARED, REFUSING], Withdraw(NEW, "it smells")),
        ([PREPARING, REFUSING], Withdraw(NEW, "it smells")),
        ([], Wait()),
    ],
    ids=["all", "the only one", "one is slow", "one is new", "one refuses", "at once", "nobody"],
)
def test_a_proposal_is_flipped_when_all_living_workers_prepared_it(workers, expected):
    assert decide(Situation(current=OLD, proposed=NEW, workers=workers)) == expected


def test_a_worker_that_never_gets_ready_does_not_hold_up_the_host_for_ever():
    situation = Situation(
        current=OLD,
        proposed=NEW,
        workers=[PREPARED, PREPARING],
        open_seconds=PREPARE_SECONDS + 1,
    )
    assert decide(situation) == Withdraw(NEW, "1 of 2 workers had prepared it after 120 s")


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([DRAINED, DRAINED], Acknowledge(NEW)),
        ([DRAINED, PREPARED], Wait()),
        ([DRAINED, Said()], Wait()),
    ],
    ids=["all drained", "a request is still answered by the old", "a worker has not spoken"],
)
def test_a_champion_is_acknowledged_once_nobody_can_be_answered_by_the_old(workers, expected):
    situation = Situation(current=NEW, proposed=NEW, workers=workers, acknowledged=False)
    assert decide(situation) == expected


@pytest.mark.parametrize("current", [0, NEW])
def test_with_nothing_open_the_store_is_asked(current):
    assert decide(Situation(current=current, proposed=current, workers=[])) == Follow()
