"""Versions that kill whoever loads them: tried where they harm nobody, and noted on disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from overnight.serving.host.alias_state import AliasState
from overnight.serving.host.workers import WorkerRegistration
from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.serving.lifecycle.load_notes import REMEMBERED_SECONDS, LoadNotes
from overnight.serving.lifecycle.loader import (
    CONFIRM_SECONDS,
    DEATH_PAUSE_SECONDS,
    RETRY_CURRENT_SECONDS,
    RETRY_DEADLY_SECONDS,
    VersionLoader,
)
from overnight.serving.lifecycle.memory_budget import MemoryBudget
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.serving.lifecycle.probe import ChildProbe
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from tests.support.serving import bundles
from tests.support.serving.challenges import CANARY, SHADOW
from tests.support.serving.server_process import ROOT
from tests.support.serving.stepped_host import (
    Flaky,
    answering_version,
    answers,
    challenge,
    challengers_in,
    promote,
    settle,
)
from tests.support.signing_keys import TRUST, alias_log
from tests.support.waiting import until

ONE, TWO, THREE = (bundles.version_name(number) for number in (1, 2, 3))


@pytest.fixture
def bucket() -> Flaky:
    return Flaky()


@dataclass
class Undecided:
    """A probe whose outcomes are set by the test; it remembers what was started and cancelled."""

    outcomes: dict[str, str] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def start(self, _model: str, version: str) -> "UndecidedRun":
        self.started.append(version)
        return UndecidedRun(self, version)


@dataclass
class UndecidedRun:
    probe: Undecided
    version: str

    def outcome(self) -> str | None:
        return self.probe.outcomes.get(self.version)

    def cancel(self) -> None:
        self.probe.cancelled.append(self.version)


@pytest.fixture
def probe() -> Undecided:
    return Undecided({ONE: ""})


@pytest.fixture
def host(worker, bucket, log, probe):
    """A host of one worker that answers with version 1; versions 2 and 3 are published."""
    for number in (1, 2, 3):
        bundles.publish(bucket, number)
    promote(log, 1)
    agent = worker(probe=probe)
    settle(agent)
    assert answers(agent) == ONE
    return agent


def test_no_worker_loads_a_version_before_its_probe_has(host, log, probe):
    promote(log, 2)
    settle(host)
    assert [loaded.version for loaded in host.slots.find(bundles.MODEL).loaded()] == [ONE]

    probe.outcomes[TWO] = ""
    settle(host)

    assert answers(host) == TWO
    assert probe.started == [ONE, TWO]


def test_what_its_probe_does_not_survive_is_refused_with_the_reason(host, log, probe):
    probe.outcomes[TWO] = "loading it ended a process by SIGSEGV"
    promote(log, 2)
    settle(host)

    (word,) = log.acknowledgements(2)
    assert (word.serving, word.reason) == (False, probe.outcomes[TWO])
    assert answers(host) == ONE
    # It is not tried again, and what comes next is followed.
    probe.outcomes[THREE] = ""
    promote(log, 3)
    settle(host)
    assert answers(host) == THREE
    assert probe.started.count(TWO) == 1


def test_a_newer_record_does_not_wait_for_the_probe_of_an_older_one(host, log, probe):
    # Given a version whose probe has no outcome.
    promote(log, 2)
    settle(host)

    probe.outcomes[THREE] = ""
    promote(log, 3)
    settle(host)

    assert answers(host) == THREE
    assert probe.cancelled == [TWO]
    (word,) = log.acknowledgements(2)
    assert word.reason.startswith("superseded by record 3")


def test_a_rollback_to_a_version_that_served_here_waits_for_no_probe(host, log, probe):
    probe.outcomes[TWO] = ""
    promote(log, 2)
    settle(host)
    del probe.outcomes[ONE]

    log.append(ONE, expected=TWO, actor=Actor("a test", "back"), action="rolled back")
    settle(host)

    assert answers(host) == ONE
    assert probe.started == [ONE, TWO]


def test_a_challenger_that_was_stopped_does_not_answer_while_the_next_is_probed(
    host, probe, challengers
):
    # Given a challenger that was stopped, and another that has a probe without an outcome.
    probe.outcomes[TWO] = ""
    challenge(challengers, 2, CANARY)
    settle(host)
    assert answering_version(host) == TWO
    challengers.append(TWO, expected=TWO, actor=Actor("a test", "enough"), action="stopped")

    challenge(challengers, 3, CANARY)
    settle(host)

    assert probe.started[-1] == THREE
    assert answering_version(host) == ONE
    probe.outcomes[THREE] = ""
    settle(host)
    assert answering_version(host) == THREE


def test_a_proposal_that_a_worker_is_long_in_preparing_gives_way_to_a_newer_record(
    hosts, log, bucket
):
    # Given a proposal that one of two workers does not come to load.
    leader, _mate = hosts
    bundles.publish(bucket, 3)
    promote(log, 2)
    settle(leader)
    assert answers(leader) == ONE

    promote(log, 3)
    settle(*hosts)

    assert [answers(agent) for agent in hosts] == [THREE, THREE]
    (word,) = log.acknowledgements(2)
    assert word.reason.startswith("superseded by record 3")


DYING = """
import os, signal, sys
from pathlib import Path
from overnight.serving.lifecycle.load_notes import LoadNotes
with LoadNotes(Path(sys.argv[1])).loading(*sys.argv[2:]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def die_loading(notes: Path, version: str, *, times: int = 1) -> None:
    """Processes that are killed while they load a version."""
    for _ in range(times):
        ran = subprocess.run(
            [sys.executable, "-c", DYING, str(notes), bundles.MODEL, version], cwd=ROOT, check=False
        )
        assert ran.returncode == -signal.SIGKILL


def age(notes: Path, seconds: float) -> None:
    """Let the notes be older."""
    for note in notes.rglob("*.note"):
        os.utime(note, (time.time() - seconds,) * 2)


def test_notes_tell_dead_workers_from_those_that_still_load(tmp_path):
    notes = LoadNotes(tmp_path)
    with notes.loading(bundles.MODEL, ONE):
        die_loading(tmp_path, ONE)
        assert len(notes.deaths(bundles.MODEL, ONE)) == 1
        assert notes.deaths(bundles.MODEL, ONE, since=time.time() + 60) == []
        assert notes.deaths(bundles.MODEL, TWO) == []

        notes.forget(bundles.MODEL, ONE)

        assert notes.deaths(bundles.MODEL, ONE) == []
        assert len(list(tmp_path.rglob("*.note"))) == 1
    assert list(tmp_path.rglob("*.note")) == []


def test_deaths_of_long_ago_and_of_a_server_that_was_stopped_do_not_count(tmp_path):
    notes = LoadNotes(tmp_path)
    die_loading(tmp_path, ONE)
    age(tmp_path, REMEMBERED_SECONDS + 1)
    assert notes.deaths(bundles.MODEL, ONE) == []

    die_loading(tmp_path, TWO)
    notes.forget_all()

    assert notes.deaths(bundles.MODEL, TWO) == []


@dataclass
class Late:
    """The loader of a worker that starts when others have died already."""

    slot: ModelSlot
    loader: VersionLoader
    now: list[float]
    notes: Path


@pytest.fixture
def late(log, tmp_path) -> Callable[..., Late]:
    """Start it on a host to which version 1 is proposed."""
    bucket, registration = MemoryBucket(), WorkerRegistration(tmp_path / "workers")
    bundles.publish(bucket, 1)
    alias_state = AliasState(tmp_path / "models" / bundles.MODEL)
    alias_state.propose(promote(log, 1))
    cache = DiskCache(tmp_path / "cache", TRUST)

    def start(*, server_started: float = 0.0) -> Late:
        slot, now = ModelSlot(bundles.MODEL, alias_state.shared), [100.0]
        loader = VersionLoader(
            registration,
            bucket=bucket,
            cache=cache,
            memory_budget=MemoryBudget(threads=1),
            load_notes=LoadNotes(tmp_path / "loading"),
            workers=2,
            server_started=server_started,
            clock=lambda: now[0],
        )
        loader.add(slot, alias_state)
        return Late(slot, loader, now, tmp_path / "loading")

    yield start
    registration.remove()


def test_a_proposal_that_killed_two_workers_is_refused(late, tmp_path):
    die_loading(tmp_path / "loading", ONE, times=2)
    started = late()

    started.loader.tick()

    assert "2 workers of this host died" in started.slot.refused[1]
    assert not started.slot.loaded()


def test_after_one_death_a_version_is_loaded_once_its_worker_is_no_longer_new(late, tmp_path):
    die_loading(tmp_path / "loading", ONE)
    started = late()
    started.loader.tick()
    assert not started.slot.loaded()
    assert started.slot.refused == {}

    age(started.notes, DEATH_PAUSE_SECONDS + 1)
    started.now[0] += DEATH_PAUSE_SECONDS
    started.loader.tick()

    assert [loaded.version for loaded in started.slot.loaded()] == [ONE]


def test_the_current_version_is_tried_again_a_while_after_it_killed_workers(late, tmp_path):
    die_loading(tmp_path / "loading", ONE, times=2)
    started = late()
    started.slot.shared.activate(1)
    started.loader.tick()
    assert "2 workers of this host died" in started.slot.refused[1]

    age(started.notes, RETRY_DEADLY_SECONDS + 1)
    started.now[0] += RETRY_CURRENT_SECONDS
    started.loader.tick()

    assert started.slot.ready


def test_a_server_that_was_stopped_while_it_loaded_does_not_keep_the_next_from_answering(
    late, tmp_path
):
    die_loading(tmp_path / "loading", ONE, times=2)
    age(tmp_path / "loading", 60)
    started = late(server_started=time.time() - 30)
    started.slot.shared.activate(1)

    started.loader.tick()

    assert started.slot.ready


def test_a_probe_that_succeeds_clears_what_was_noted_before(host, log, probe, tmp_path):
    die_loading(tmp_path / "loading", TWO, times=2)
    probe.outcomes[TWO] = ""

    promote(log, 2)
    settle(host)

    assert answers(host) == TWO


def test_a_worker_that_starts_loads_a_proposal_only_once_the_log_was_read_again(late):
    # Given a proposal of before this worker started, which may be superseded by now.
    started = late()
    started.slot.shared.note_sync(int(time.time() * 1000) - 60_000)
    started.loader.tick()
    assert not started.slot.loaded()

    started.now[0] += CONFIRM_SECONDS
    started.loader.tick()

    assert [loaded.version for loaded in started.slot.loaded()] == [ONE]


def test_a_challenger_that_was_stopped_meanwhile_is_not_loaded_at_start(hosts, challengers, worker):
    challenge(challengers, 2, SHADOW)
    settle(*hosts)
    for agent in hosts:
        agent.stop()
    challengers.append(TWO, expected=TWO, actor=Actor("a test", "enough"), action="stopped")

    restarted = worker()
    assert challengers_in(restarted) == []
    settle(restarted)

    loads = [loads.outcome for loads in restarted._loader.loads() for _ in range(loads.versions)]
    assert loads == ["loaded"]
    assert answers(restarted) == ONE


@pytest.mark.servers
@pytest.mark.parametrize(
    ("files", "workers", "reason"),
    [
        (bundles.files(1), 2, ""),
        (bundles.crashing_files(1), 2, "by SIGSEGV"),
        (bundles.files(1) | {"golden.npz": b"none"}, 2, "not a set of golden examples"),
        (bundles.greedy_files(), 1_000_000, "1000000 workers need"),
    ],
    ids=["fit", "a crash", "no golden examples", "too large for all workers"],
)
def test_a_process_of_its_own_finds_out_what_loading_a_version_does(
    tmp_path, files, workers, reason
):
    bucket, cache = MemoryBucket(), DiskCache(tmp_path, TRUST)
    bundles.publish(bucket, 1, files)
    cache.stage(bucket, promote(alias_log(bucket), 1))

    run = ChildProbe(cache, tmp_path, threads=1, workers=workers).start(bundles.MODEL, ONE)
    (found,) = until(
        lambda: [outcome] if (outcome := run.outcome()) is not None else None,
        what="the probe is over",
    )

    assert reason in found if reason else found == ""


@pytest.mark.servers
def test_a_version_that_never_finishes_loading_is_given_up(tmp_path):
    bucket, cache, now = MemoryBucket(), DiskCache(tmp_path, TRUST), [0.0]
    bundles.publish(bucket, 1)
    cache.stage(bucket, promote(alias_log(bucket), 1))
    run = ChildProbe(cache, tmp_path, threads=1, workers=1, clock=lambda: now[0]).start(
        bundles.MODEL, ONE
    )

    now[0] += 1_000

    assert "not loaded within" in run.outcome()
