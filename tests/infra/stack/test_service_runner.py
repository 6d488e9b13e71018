"""A runner keeps its service alive, whatever happens to the process."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from overnight.infra.stack import processes
from overnight.infra.stack.ports import Listening
from overnight.infra.stack.processes import ProcessId
from overnight.infra.stack.service_runner import ServiceRunner
from overnight.store.errors import StoreUnavailable
from tests.support.tiny_services import STUBBORN, service
from tests.support.waiting import until

pytestmark = pytest.mark.servers


def others_ready(_name: str) -> bool:
    return True


def tick_until(runner: ServiceRunner, condition: str, ready=others_ready) -> None:
    def ticked() -> bool:
        runner.tick(ready)
        return runner.record.condition == condition

    until(ticked, what=f"{condition}, but {runner.record}")


@pytest.fixture
def kept(tmp_path):
    """Makes runners, and ends whatever they started."""
    runners: list[ServiceRunner] = []

    def keep(service, **options) -> ServiceRunner:
        runners.append(ServiceRunner(service, **options))
        return runners[-1]

    yield keep
    for runner in runners:
        runner.stop()


def test_a_killed_child_is_started_again(tmp_path, kept):
    runner = kept(service(tmp_path))
    tick_until(runner, "ready")
    first = runner.record.process.pid

    os.kill(first, signal.SIGKILL)
    tick_until(runner, "failing")
    tick_until(runner, "ready")

    assert runner.record.process.pid != first
    assert runner.record.restarts == 1


def test_what_a_dead_child_left_in_its_session_is_cleared_away(tmp_path, kept):
    runner = kept(service(tmp_path, STUBBORN))
    tick_until(runner, "ready")
    grandchild = int(until(lambda: _text(tmp_path / "child"), what="a grandchild"))

    os.kill(runner.record.process.pid, signal.SIGKILL)
    tick_until(runner, "failing")

    until(lambda: not psutil.pid_exists(grandchild), what="the grandchild gone")


def test_a_program_that_cannot_be_run_is_reported_and_tried_again(tmp_path, kept):
    program = tmp_path / "program"
    runner = kept(service(tmp_path, command=(str(program),)))
    tick_until(runner, "failing")
    reported = runner.record.message

    program.write_text(f"#!{sys.executable}\nimport time; time.sleep(600)\n")
    program.chmod(0o700)
    tick_until(runner, "ready")

    assert str(program) in reported


def test_a_child_that_cannot_start_is_tried_less_and_less_often(tmp_path, kept):
    runner = kept(service(tmp_path, "import sys; sys.exit(9)"))

    tick_until(runner, "failing")
    tick_until(runner, "starting")
    tick_until(runner, "failing")
    again = time.time()
    tick_until(runner, "starting")

    assert runner.record.restarts == 2
    assert time.time() - again > 0.7


def test_a_failure_names_the_exit_code_and_the_log(tmp_path, kept):
    runner = kept(service(tmp_path, "import sys; print('why'); sys.exit(9)"))

    tick_until(runner, "failing")

    assert "exit code 9" in runner.record.message
    assert str(tmp_path / "logs" / "tiny.log") in runner.record.message
    assert (tmp_path / "logs" / "tiny.log").read_text() == "why\n"


def test_a_service_waits_for_what_it_needs(tmp_path, kept):
    runner = kept(service(tmp_path, after=("store",)))

    runner.tick(lambda _name: False)
    waiting = runner.record
    tick_until(runner, "ready")

    assert (waiting.condition, waiting.process) == ("waiting", None)


def test_a_step_that_ended_well_is_done_for_good(tmp_path, kept):
    runner = kept(service(tmp_path, "pass", once=True, ready=lambda _started: False))

    tick_until(runner, "done")
    runner.tick(others_ready)

    assert runner.record.condition == "done"


def test_a_step_that_failed_is_done_again(tmp_path, kept):
    program = (
        "import pathlib, sys; p = pathlib.Path('x'); e = p.exists(); p.touch(); sys.exit(not e)"
    )
    runner = kept(service(tmp_path, program, once=True, ready=lambda _started: False))

    tick_until(runner, "done")

    assert runner.record.restarts == 1


def test_a_service_is_not_ready_before_it_is_prepared(tmp_path, kept):
    tries = []

    def prepare() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise StoreUnavailable("http://here", "volumes register")

    runner = kept(service(tmp_path, prepare=prepare))
    runner.tick(others_ready)
    runner.tick(others_ready)
    waiting = runner.record
    tick_until(runner, "ready")

    assert (waiting.condition, "volumes register" in waiting.message) == ("starting", True)
    assert len(tries) == 3


def test_a_taken_port_is_reported_and_waited_for(tmp_path, kept):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listening = Listening(other.getsockname()[1], "OVERNIGHT_S3_PORT")
        runner = kept(service(tmp_path, listens=(listening,)))
        tick_until(runner, "failing")
        reported = runner.record.message

    tick_until(runner, "ready")

    assert "OVERNIGHT_S3_PORT" in reported


def test_a_hung_service_is_ended_and_started_again(tmp_path, kept):
    well = [True]
    runner = kept(service(tmp_path, ready=lambda _started: well[0], hung_seconds=0))
    tick_until(runner, "ready")
    first = runner.record.process.pid

    well[0] = False
    tick_until(runner, "failing")
    well[0] = True
    tick_until(runner, "ready")

    assert runner.record.process.pid != first


def test_a_service_that_answers_late_is_not_ended(tmp_path, kept):
    well, asked = [True], []

    def responds() -> bool:
        asked.append(True)
        return True

    runner = kept(
        service(tmp_path, ready=lambda _started: well[0], responds=responds, hung_seconds=0)
    )
    tick_until(runner, "ready")
    first = runner.record.process.pid
    well[0] = False
    until(lambda: runner.tick(others_ready) or asked, what="it was asked")
    runner.tick(others_ready)

    assert (runner.record.process.pid, runner.record.condition) == (first, "ready")


def test_a_living_orphan_is_taken_over(tmp_path, kept):
    first = kept(service(tmp_path))
    tick_until(first, "ready")

    second = kept(service(tmp_path), before=first.record)
    tick_until(second, "ready")

    assert second.record.process == first.record.process


def test_an_orphan_that_was_started_otherwise_is_replaced(tmp_path, kept):
    first = kept(service(tmp_path))
    tick_until(first, "ready")

    second = kept(service(tmp_path, environment={"MOVED": "yes"}), before=first.record)
    tick_until(second, "ready")

    assert second.record.process != first.record.process
    assert not processes.is_alive(first.record.process)


def test_a_number_that_is_somebody_elses_by_now_is_left_alone(tmp_path, kept):
    # given a record of a process whose number another one has today
    stranger = kept(service(tmp_path))
    tick_until(stranger, "ready")
    pid = stranger.record.process.pid
    stale = stranger.record.model_copy(
        update={"process": ProcessId(pid=pid, created=stranger.record.process.created - 1_000)}
    )

    runner = kept(service(tmp_path), before=stale)
    tick_until(runner, "ready")

    assert processes.is_alive(stranger.record.process)
    assert runner.record.process.pid != pid


def test_a_child_that_ignores_the_request_to_stop_is_killed_with_its_session(tmp_path, kept):
    runner = kept(service(tmp_path, STUBBORN, stop_seconds=0.3))
    tick_until(runner, "ready")
    grandchild = int(until(lambda: _text(tmp_path / "child"), what="a grandchild"))
    child = runner.record.process

    runner.stop()

    assert not processes.is_alive(child)
    until(lambda: not psutil.pid_exists(grandchild), what="the grandchild gone")


def test_children_get_the_environment_of_their_service(tmp_path, kept):
    program = "import os; print(os.environ['OVERNIGHT_HOME'])"
    environment = {"OVERNIGHT_HOME": "/somewhere"}
    runner = kept(service(tmp_path, program, once=True, environment=environment))

    tick_until(runner, "done")

    assert (tmp_path / "logs" / "tiny.log").read_text() == "/somewhere\n"
    assert sys.executable in runner.service.command


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_children_get_no_credentials_of_other_stores(tmp_path, kept, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.setenv(name, "somebody's")
    monkeypatch.setenv("WEED_JWT_SIGNING_KEY", "somebody's")
    monkeypatch.setenv("AWS_CA_BUNDLE", "certificates")
    program = "import os; print(sorted(n for n in os.environ if n.startswith(('AWS_', 'WEED_'))))"
    runner = kept(service(tmp_path, program, once=True))

    tick_until(runner, "done")

    assert (tmp_path / "logs" / "tiny.log").read_text() == "['AWS_CA_BUNDLE']\n"


def test_what_a_service_writes_is_for_this_user_only(tmp_path, kept):
    program = "import pathlib; pathlib.Path('wrote').touch(); pathlib.Path('made').mkdir()"
    runner = kept(service(tmp_path, program, once=True))

    tick_until(runner, "done")

    written = tmp_path / "wrote", tmp_path / "made", tmp_path / "logs" / "tiny.log"
    assert [oct(path.stat().st_mode & 0o777) for path in written] == ["0o600", "0o700", "0o600"]


def test_a_service_that_fails_for_weeks_is_still_tried_again(tmp_path, kept):
    program = tmp_path / "missing"
    runner = kept(service(tmp_path, command=(str(program),)))
    runner.record = runner.record.model_copy(update={"restarts": 2_000})

    tick_until(runner, "failing")

    assert runner.record.restarts == 2_001
