"""Prefect's server, database or worker fails during a run; the run ends and blocks no other."""

import sqlite3
import time
from contextlib import closing
from datetime import datetime

import pytest

from overnight.tasks.outcomes import of_state
from tests.faults.test_stack_recovery import (
    answers,
    await_end,
    await_step,
    crashed,
    run_processes,
    start_retrain,
)
from tests.support.faults.tally import TALLY
from tests.support.stack import RunningStack
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1_800)]

_LOCKED_SECONDS = 12
_ENDED = ("Promoted", "Refused", "Superseded")
_OVER = (*_ENDED, "UpToDate")


def lock_the_database(stack: RunningStack) -> None:
    """Nobody else may read or write the server's database for a while."""
    path = stack.home / "prefect" / "prefect.db"
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        TALLY.inject("Prefect's database was locked")
        end = time.monotonic() + _LOCKED_SECONDS
        # Serving needs nothing of Prefect.
        while time.monotonic() < end:
            assert answers(stack)
            time.sleep(0.5)
        database.execute("ROLLBACK")


def test_a_run_survives_a_locked_database_and_a_killed_server(stack: RunningStack) -> None:
    before = [one["version"] for one in stack.query_json("versions", "digits")]
    run = start_retrain(stack, "--epochs", "1", "--seed", "21")
    await_step(stack, run, "train")

    lock_the_database(stack)
    killed = stack.kill("prefect")
    stack.await_restart("prefect", killed)

    assert await_end(stack, run, *_ENDED, "Crashed") in _ENDED
    after = [one["version"] for one in stack.query_json("versions", "digits")]
    TALLY.holds(set(before) <= set(after), "a version, over a killed Prefect server")


def test_a_concurrent_retrain_waits_and_has_nothing_left_to_do(stack: RunningStack) -> None:
    before = [one["version"] for one in stack.query_json("versions", "digits")]
    words = ("--epochs", "1", "--seed", "24")
    requested = [start_retrain(stack, *words, force=False) for _ in range(2)]
    TALLY.inject("two retrains of one model at once")

    for run in requested:
        assert await_end(stack, run, *_OVER, "Crashed", "Failed") in _OVER
    reported = [stack.prefect.request("GET", f"/flow_runs/{run}") for run in requested]
    first, second = sorted(reported, key=lambda run: datetime.fromisoformat(run["start_time"]))

    ended = datetime.fromisoformat(first["end_time"])
    assert datetime.fromisoformat(second["start_time"]) >= ended
    assert of_state(second["state"]).outcome == "UpToDate"
    after = [one["version"] for one in stack.query_json("versions", "digits")]
    TALLY.holds(len(after) - len(before) <= 1, "one version for one fingerprint")


def test_a_run_killed_with_its_worker_is_marked_crashed_and_blocks_no_other(
    stack: RunningStack,
) -> None:
    run = start_retrain(stack, "--epochs", "1", "--seed", "22")
    await_step(stack, run, "train")

    # Both at once: nobody is left to tell the server.
    victims = run_processes(stack, run)
    killed = stack.kill("worker")
    for process in victims:
        process.kill()
    TALLY.inject("a run was killed with its worker")
    until(lambda: crashed(stack, run), seconds=180, what="the dead run is Crashed")
    stack.await_restart("worker", killed)
    # One that was trained already, so that nothing but its turn is waited for.
    later = start_retrain(stack, "--epochs", "1", "--seed", "24", force=False)

    assert victims
    assert await_end(stack, later, *_OVER, "Crashed", "Failed") in _OVER
    # And the dead one was tried again.
    assert await_end(stack, run, *_ENDED, "Failed") in _ENDED
