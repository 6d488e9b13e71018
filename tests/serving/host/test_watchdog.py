"""A worker that hangs is noticed by its silence, and nobody else is."""

import os

import pytest

from overnight.serving.host.watchdog import Watchdog
from overnight.serving.host.workers import WorkerRegistration, living_reports


@pytest.fixture
def registration(tmp_path):
    worker = WorkerRegistration(tmp_path / "workers")
    yield worker
    worker.remove()


def test_a_worker_is_silent_once_it_missed_so_many_looks(registration, tmp_path):
    watchdog = Watchdog(tmp_path / "workers", looks=3)
    registration.beat()

    seen = [watchdog.silent() for _ in range(5)]

    assert seen == [set(), set(), set(), {os.getpid()}, {os.getpid()}]


def test_a_beat_starts_the_count_again(registration, tmp_path):
    watchdog = Watchdog(tmp_path / "workers", looks=2)

    for _ in range(5):
        registration.beat()
        watchdog.silent()
        assert watchdog.silent() == set()


def test_a_worker_without_a_first_beat_still_starts(registration, tmp_path):
    watchdog = Watchdog(tmp_path / "workers", looks=1)

    assert [watchdog.silent() for _ in range(5)] == [set()] * 5


def test_the_heartbeat_of_a_dead_worker_is_forgotten_with_it(tmp_path):
    # Given a worker that died: the kernel lets go of its lock.
    worker = WorkerRegistration(tmp_path / "workers")
    worker.beat()
    worker._lock.close()

    living_reports(tmp_path / "workers")

    assert list((tmp_path / "workers").iterdir()) == []
    assert Watchdog(tmp_path / "workers", looks=1).silent() == set()
