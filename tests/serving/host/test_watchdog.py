"""A worker that hangs is noticed by its silence, and nobody else is."""

import logging
import os
from dataclasses import dataclass, field

import pytest

from overnight.serving.host.watchdog import Watchdog, replace_silent_workers
from overnight.serving.host.workers import WorkerRegistration, living_reports


@dataclass
class Inner:
    """The process of a worker."""

    pid: int = field(default_factory=os.getpid)
    kills: int = 0

    def kill(self) -> None:
        self.kills += 1


@dataclass
class Worker:
    """A worker as granian has it."""

    inner: Inner = field(default_factory=Inner)
    lives: bool = True

    def is_alive(self) -> bool:
        return self.lives


class Server:
    """A granian server, as far as its workers are concerned."""

    def __init__(self, *workers: Worker) -> None:
        self.wrks = [*workers]


class Ended(Exception):
    """The list of workers of a server that is gone."""


class GoneServer:
    """A server that is gone."""

    @property
    def wrks(self) -> list[Worker]:
        raise Ended


@pytest.fixture
def registration(tmp_path):
    worker = WorkerRegistration(tmp_path / "workers")
    yield worker
    worker.remove()


def test_a_worker_is_silent_once_it_missed_so_many_looks(registration, tmp_path):
    watchdog = Watchdog(tmp_path / "workers", seconds=3.4)
    registration.beat()

    seen = [watchdog.silent() for _ in range(5)]

    assert seen == [set(), set(), set(), {os.getpid()}, {os.getpid()}]


def test_a_beat_starts_the_count_again(registration, tmp_path):
    watchdog = Watchdog(tmp_path / "workers", seconds=2)

    for _ in range(5):
        registration.beat()
        watchdog.silent()
        assert watchdog.silent() == set()


def test_a_worker_without_a_first_beat_still_starts(registration, tmp_path):
    watchdog = Watchdog(tmp_path / "workers", seconds=1)

    assert [watchdog.silent() for _ in range(5)] == [set()] * 5


def test_the_heartbeat_of_a_dead_worker_is_forgotten_with_it(tmp_path):
    # Given a worker that died: the kernel lets go of its lock.
    worker = WorkerRegistration(tmp_path / "workers")
    worker.beat()
    worker._lock.close()

    living_reports(tmp_path / "workers")

    assert list((tmp_path / "workers").iterdir()) == []
    assert Watchdog(tmp_path / "workers", seconds=1).silent() == set()


@pytest.mark.parametrize("seconds", [0.1, 0.9, 1.4])
def test_no_limit_is_shorter_than_one_look(registration, tmp_path, seconds: float):
    watchdog = Watchdog(tmp_path / "workers", seconds=seconds)
    registration.beat()

    assert [watchdog.silent() for _ in range(2)] == [set(), {os.getpid()}]


def test_of_all_workers_the_silent_ones_that_live_are_killed(registration, tmp_path, caplog):
    # Given a worker that is silent, one that ended, and one of another process.
    silent, ended, other = Worker(), Worker(lives=False), Worker(Inner(pid=1))
    watchdog = Watchdog(tmp_path / "workers", seconds=1.4)
    registration.beat()
    server = Server(other, ended, silent)

    with caplog.at_level(logging.ERROR):
        watchdog.tick(server)
        assert silent.inner.kills == 0
        watchdog.tick(server)

    assert [each.inner.kills for each in (silent, ended, other)] == [1, 0, 0]
    (entry,) = caplog.records
    assert entry.message == f"worker {os.getpid()} shows no sign of life for 1 s and is replaced"
    assert (entry.event, entry.pid) == ("worker hung", os.getpid())


def test_the_watch_goes_on_until_the_server_is_gone(tmp_path):
    with pytest.raises(Ended):
        replace_silent_workers(GoneServer(), tmp_path, seconds=1)
