"""When a worker counts as one that hangs: its loader or its requests make no progress."""

import pytest

from overnight.serving.host.workers import read_heartbeats
from overnight.serving.lifecycle.liveness import ANSWERING_SECONDS, LOADING_SECONDS, Liveness
from tests.support.serving import bundles
from tests.support.serving.stepped_host import Flaky, promote, settle


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def agent(worker, bucket, log):
    """A worker that answers with version 1; version 2 is published."""
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    agent = worker(loaded_bytes=0)
    settle(agent)
    return agent


@pytest.fixture
def is_well(agent, now):
    """Whether the worker is well so many seconds later."""
    liveness, slot = Liveness(agent._loader, clock=lambda: now[0]), agent.slots.find(bundles.MODEL)

    def look(later: float = 0.0, *, loads: bool = True) -> bool:
        now[0] += later
        if loads:
            agent.tick_loader()
        return liveness.is_well([slot])

    assert look()
    return look


def test_a_loader_that_does_not_come_back_is_noticed(is_well):
    assert is_well(LOADING_SECONDS, loads=False)
    assert not is_well(1, loads=False)
    assert is_well()


def test_a_request_that_never_ends_is_noticed(agent, is_well):
    slot = agent.slots.find(bundles.MODEL)
    hanging = slot.acquire()
    assert is_well()
    assert is_well(ANSWERING_SECONDS)

    assert not is_well(1)

    slot.release(hanging)
    assert is_well()


def test_requests_that_come_and_go_are_no_hang(agent, is_well):
    slot = agent.slots.find(bundles.MODEL)
    leases = [slot.acquire()]
    for _ in range(5):
        leases.append(slot.acquire())
        slot.release(leases.pop(0))
        assert is_well(ANSWERING_SECONDS)


def test_a_worker_without_requests_is_well(is_well):
    assert all(is_well(ANSWERING_SECONDS) for _ in range(5))


def test_a_request_that_hangs_behind_others_is_noticed_once_there_is_a_newer_version(
    agent, log, is_well
):
    # Given a request that hangs in version 1, and others that come and go.
    slot = agent.slots.find(bundles.MODEL)
    slot.acquire()
    promote(log, 2)
    settle(agent)

    def come_and_go() -> None:
        slot.release(slot.acquire())

    come_and_go()
    assert is_well()
    come_and_go()
    assert is_well(ANSWERING_SECONDS)

    come_and_go()
    assert not is_well(1)


def test_a_heart_beats_only_as_long_as_the_worker_is_well(agent, tmp_path):
    agent.tick_heartbeat()
    agent.tick_heartbeat()

    assert list(read_heartbeats(tmp_path / "workers").values()) == [2]
