"""The tally counts failed checks and interrupted requests, and swallows no other error."""

import json
import random
import time

import pytest

from overnight.store.errors import NoChallenge, StoreDenied
from tests.support.faults.serving_clients import Clients
from tests.support.faults.tally import Tally


class Cut:
    """A host that answers nothing but an error of the connection."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def request(self, *_: object, **__: object) -> None:
        raise self._error


@pytest.mark.parametrize("error", [AssertionError("not there"), StoreDenied("http://s", "no")])
def test_a_failed_check_is_counted_whatever_was_raised(error):
    tally = Tally()

    with pytest.raises(type(error)) as raised, tally.keeps("a whole version"):
        raise error

    assert tally.lost == {"a whole version": 1}
    assert raised.value.__notes__ == ["lost: a whole version"]
    assert any(line.startswith("lost: a whole version") for line in tally.lines())


def test_a_passed_check_is_not_counted_as_a_loss():
    tally = Tally()

    tally.holds(True, "a record")

    assert not tally.lost


def test_a_request_cut_by_the_death_of_a_worker_is_retried_and_counted():
    clients = Clients(Cut(ConnectionResetError()), bytes, [time.monotonic()])

    assert "no answer in 4 tries" in clients._failure()
    assert clients.cut == 4


@pytest.mark.parametrize(
    ("error", "died"),
    [
        (ConnectionResetError(), None),
        (ConnectionResetError(), 60.0),
        (TimeoutError("timed out"), 0.0),
    ],
    ids=["nobody died", "long ago", "it hangs"],
)
def test_a_request_cut_at_any_other_time_counts_as_failed(error, died):
    deaths = [] if died is None else [time.monotonic() - died]
    clients = Clients(Cut(error), bytes, deaths)

    assert "cut while no worker died" in clients._failure()
    assert clients.cut == 0


def test_expected_refusals_are_counted_by_kind_and_other_errors_propagate():
    tally = Tally()

    with tally.counts(NoChallenge):
        raise NoChallenge("digits", "none was started")
    with pytest.raises(StoreDenied), tally.counts(NoChallenge):
        raise StoreDenied("http://store", "AccessDenied")

    assert tally.refused == {"NoChallenge": 1}


def test_a_test_draws_the_same_faults_alone_and_in_a_suite(seed_of):
    assert random.Random(seed_of("a proxy")).random() == random.Random(seed_of("a proxy")).random()
    assert seed_of("a proxy") != seed_of("a thread")


def test_counts_of_workers_are_added():
    ours, theirs = Tally(), Tally()
    for tally in (ours, theirs):
        tally.inject("a run was killed")
        tally.requests(10, failed=1, cut=2)
        tally.versions(3)
        tally.step()
    theirs.lose("a record")

    ours.add(json.loads(json.dumps(theirs.reported())))

    assert ours.injected == {"a run was killed": 2}
    assert (ours.sent, ours.failed, ours.cut) == (20, 2, 4)
    assert (ours.published, ours.steps) == (6, 2)
    assert ours.lost == {"a record": 1}
