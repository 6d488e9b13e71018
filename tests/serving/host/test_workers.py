"""Workers of a host: one leads, each reports, and the files of dead ones are removed."""

import json
import os
import stat

import pytest

from overnight.serving.host.workers import (
    LeaderLock,
    ModelReport,
    WorkerRegistration,
    WorkerReport,
    living_reports,
    read_counters,
    read_heartbeats,
)
from overnight.serving.telemetry.metrics import Count, WorkerCounters

LOADED = {"digits": ModelReport(prepared=(1, 2), refused={3: "too large"}, oldest_in_use=1)}
COUNTED = WorkerCounters(
    counts=(Count(model="digits", version="v1", protocol="v2", status=200, requests=7),)
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "workers"


@pytest.fixture
def registered(folder):
    worker = WorkerRegistration(folder)
    yield worker
    worker.remove()


def suffixes(folder) -> set[str]:
    return {path.suffix for path in folder.iterdir()}


def die(worker: WorkerRegistration) -> None:
    """What the kernel does when the process of a worker ends."""
    worker._lock.close()


def test_a_worker_that_has_reported_nothing_is_counted_with_an_empty_report(registered, folder):
    assert living_reports(folder) == [WorkerReport(worker=registered.worker, pid=0, models={})]
    assert [path.name for path in folder.with_name("arriving").iterdir()] == []
    assert suffixes(folder) == {".lock", ".beat"}


def test_a_report_says_who_and_what_is_loaded(registered, folder):
    registered.report(LOADED)

    assert living_reports(folder) == [
        WorkerReport(worker=registered.worker, pid=os.getpid(), models=LOADED)
    ]


def test_a_report_is_written_only_when_it_changes(registered, folder):
    registered.report(LOADED)
    path = folder / f"{registered.worker}.json"
    path.unlink()

    registered.report(dict(LOADED))
    assert not path.exists()

    registered.report({})
    assert json.loads(path.read_bytes())["models"] == {}


def test_a_damaged_report_is_an_empty_one(registered, folder):
    (folder / f"{registered.worker}.json").write_text("{")

    assert living_reports(folder) == [WorkerReport(worker=registered.worker, pid=0)]


def test_two_workers_can_share_a_folder_and_report_apart(registered, folder):
    second = WorkerRegistration(folder)
    registered.report(LOADED)

    reports = {report.worker: report.models for report in living_reports(folder)}

    assert reports == {registered.worker: LOADED, second.worker: {}}
    second.remove()


def test_the_files_of_a_dead_worker_are_removed_and_those_of_the_living_stay(registered, folder):
    # Given workers before and after a living one that died with all their files.
    for _ in range(3):
        dead = WorkerRegistration(folder)
        dead.report(LOADED)
        dead.write_counters(COUNTED)
        die(dead)
    registered.report(LOADED)

    reports = living_reports(folder)

    assert [report.worker for report in reports] == [registered.worker]
    assert {path.stem for path in folder.iterdir()} == {registered.worker}


def test_a_dead_worker_that_left_only_its_lock_is_removed_too(folder):
    dead = WorkerRegistration(folder)
    (folder / f"{dead.worker}.beat").unlink()
    die(dead)

    assert (living_reports(folder), [*folder.iterdir()]) == ([], [])


def test_a_worker_that_ends_takes_all_its_files_along(folder):
    worker = WorkerRegistration(folder)
    worker.report(LOADED)
    worker.write_counters(COUNTED)
    (folder / f"{worker.worker}.beat").unlink()
    assert suffixes(folder) == {".json", ".counts", ".lock"}

    worker.remove()

    assert [*folder.iterdir()] == []
    assert worker._lock.closed


def test_counters_are_read_by_the_first_letters_of_the_worker(registered, folder):
    registered.write_counters(COUNTED)

    assert read_counters(folder) == {registered.worker[:8]: COUNTED}


def test_counters_are_written_only_when_they_change(registered, folder):
    path = folder / f"{registered.worker}.counts"
    registered.write_counters(WorkerCounters())
    assert not path.exists()

    registered.write_counters(COUNTED)
    path.unlink()
    registered.write_counters(COUNTED.model_copy())
    assert not path.exists()

    registered.write_counters(WorkerCounters())
    assert read_counters(folder) == {registered.worker[:8]: WorkerCounters()}


def test_damaged_counters_hide_no_other_ones(registered, folder):
    registered.write_counters(COUNTED)
    (folder / "00000000.counts").write_text("{")
    (folder / "ffffffff.counts").symlink_to(folder / "removed meanwhile")

    assert read_counters(folder) == {registered.worker[:8]: COUNTED}


def test_a_heart_beats_under_its_process(registered, folder):
    assert read_heartbeats(folder) == {}

    registered.beat()
    registered.beat()

    assert read_heartbeats(folder) == {os.getpid(): 2}
    beat = folder / f"{registered.worker}.beat"
    assert stat.S_IMODE(beat.stat().st_mode) == 0o644
    assert beat.stat().st_size == 16


def test_a_heartbeat_that_is_no_pair_of_numbers_hides_no_other_one(registered, folder):
    registered.beat()
    (folder / "0.beat").write_bytes(b"short")
    (folder / "00.beat").write_bytes(bytes(24))
    (folder / "000.beat").symlink_to(folder / "removed meanwhile")

    assert read_heartbeats(folder) == {os.getpid(): 1}


def test_one_of_two_leads_until_it_lets_go(tmp_path):
    first, second = (LeaderLock(tmp_path / "run" / "leader") for _ in range(2))
    assert not first.held

    assert [first.take(), first.take(), second.take()] == [True, True, False]
    assert (first.held, second.held) == (True, False)

    first.release()
    first.release()
    assert (first.held, second.take(), first.take()) == (False, True, False)
    second.release()


def test_a_lock_that_vanishes_while_workers_are_listed_is_passed_over(registered, folder):
    (folder / "0.lock").symlink_to(folder / "removed meanwhile")

    assert [report.worker for report in living_reports(folder)] == [registered.worker]
    assert not (folder / "removed meanwhile").exists()
