"""The supervisor: order of start and stop, one for each home, and what it leaves on record."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from overnight.infra.errors import OrchestratorUnavailable
from overnight.infra.settings import load
from overnight.infra.stack import processes, state_file
from overnight.infra.stack.ports import Listening, free_port, is_free
from overnight.infra.stack.service_runner import ServiceRunner
from overnight.infra.stack.services import check_ports, check_settings, plan
from overnight.infra.stack.supervisor import Supervisor, stop_orphans
from overnight.store.errors import ConfigurationError
from tests.support.tiny_services import service
from tests.support.waiting import until

pytestmark = pytest.mark.servers

_OF_ITS_OWN = """
import sys
from pathlib import Path
from overnight.infra.stack.supervisor import Supervisor
from tests.support.tiny_services import service
home = Path(sys.argv[1])
Supervisor(home, (service(home, name="one"), service(home, name="two", after=("one",)))).start()
import time; time.sleep(600)
"""

_LISTENS_BY_A_CHILD = """
import os, socket, sys, time
if os.fork() == 0:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", int(sys.argv[1])))
    server.listen()
time.sleep(600)
"""


@pytest.fixture
def services(tmp_path):
    stopped: list[str] = []

    def named(name: str, **changes):
        def before_stop() -> None:
            stopped.append(name)

        return service(tmp_path, name=name, before_stop=before_stop, **changes)

    return (named("store"), named("prefect"), named("worker", after=("prefect",))), stopped


def test_all_become_ready_and_stop_in_reverse(tmp_path, services):
    planned, stopped = services
    supervisor = Supervisor(tmp_path, planned)

    supervisor.start()
    until(lambda: state_file.read(tmp_path).ready, what="a ready stack")
    running = [one.process for one in state_file.read(tmp_path).services]
    supervisor.stop()

    assert stopped == ["worker", "prefect", "store"]
    assert not any(map(processes.is_alive, running))
    assert {one.condition for one in state_file.read(tmp_path).services} == {"stopped"}


def test_a_server_that_is_gone_does_not_keep_the_rest_from_stopping(tmp_path):
    def before_stop() -> None:
        raise OrchestratorUnavailable("http://here/api", "gone")

    supervisor = Supervisor(tmp_path, (service(tmp_path, before_stop=before_stop),))
    supervisor.start()
    until(lambda: state_file.read(tmp_path).ready, what="a ready stack")
    running = state_file.read(tmp_path).services[0].process

    supervisor.stop()

    assert not processes.is_alive(running)


def test_a_home_has_one_supervisor(tmp_path, services):
    planned, _ = services
    first = Supervisor(tmp_path, planned)
    first.start()

    with pytest.raises(ConfigurationError, match="another supervisor runs"):
        Supervisor(tmp_path, planned).start()
    first.stop()


def test_the_orphans_of_a_killed_supervisor_are_taken_over(tmp_path):
    orphans = _orphaned(tmp_path)
    planned = (service(tmp_path, name="one"), service(tmp_path, name="two", after=("one",)))
    supervisor = Supervisor(tmp_path, planned)

    supervisor.start()
    until(lambda: state_file.read(tmp_path).ready, what="a ready stack")
    taken = [one.process for one in state_file.read(tmp_path).services]
    supervisor.stop()

    assert taken == orphans
    assert not any(map(processes.is_alive, orphans))


def test_the_orphans_of_a_killed_supervisor_can_be_stopped(tmp_path):
    orphans = _orphaned(tmp_path)

    stop_orphans(tmp_path, (service(tmp_path, name="one"),))

    assert not any(map(processes.is_alive, orphans))
    assert not state_file.read(tmp_path).ready


def test_what_is_not_planned_any_more_is_ended(tmp_path):
    one, two = _orphaned(tmp_path)
    supervisor = Supervisor(tmp_path, (service(tmp_path, name="one"),))

    supervisor.start()
    alive = processes.is_alive(one), processes.is_alive(two)
    supervisor.stop()

    assert alive == (True, False)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"services": 3}', b"\xff"])
def test_a_record_that_cannot_be_read_is_no_record(tmp_path, damage):
    (tmp_path / "stack.json").write_bytes(damage)

    assert state_file.read(tmp_path) == state_file.StackRecord()


def _orphaned(home: Path) -> list[processes.ProcessId]:
    """Start a supervisor in a process of its own, kill it, and name what it left behind."""
    with (home / "log").open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", _OF_ITS_OWN, str(home)],
            cwd=Path(__file__).parents[3],
            stderr=log,
            start_new_session=True,
        )
    until(lambda: state_file.read(home).ready, what="a ready stack")
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    orphans = [one["process"] for one in json.loads((home / "stack.json").read_text())["services"]]
    found = [processes.ProcessId(**orphan) for orphan in orphans]
    assert all(map(processes.is_alive, found))
    return found


def test_children_of_a_killed_service_are_no_strangers_at_its_port(tmp_path):
    # given a killed service of the record whose child still listens at its port
    port = free_port()
    command = (sys.executable, "-c", _LISTENS_BY_A_CHILD, str(port))
    listening = (Listening(port, "OVERNIGHT_SERVING_PORT"),)
    planned = service(tmp_path, command=command, listens=listening)
    runner = ServiceRunner(planned)
    runner.tick(lambda _name: True)
    until(lambda: not is_free(port), what="a child that listens")
    state_file.write(tmp_path, state_file.StackRecord(services=(runner.record,)))
    os.kill(runner.record.process.pid, signal.SIGKILL)
    until(lambda: not processes.is_alive(runner.record.process), what="its end")

    check_ports(tmp_path, (planned,))

    assert is_free(port)
    runner.stop()


def test_a_runner_outlives_an_error_nobody_foresaw(tmp_path):
    # given a service that cannot be asked, for once
    requested: list[float] = []

    def ready(started: float) -> bool:
        requested.append(started)
        if len(requested) == 1:
            raise ZeroDivisionError
        return True

    supervisor = Supervisor(tmp_path, (service(tmp_path, ready=ready),))

    supervisor.start()
    until(lambda: state_file.read(tmp_path).ready, what="a ready stack")
    supervisor.stop()

    assert len(requested) >= 2


def test_a_stack_of_the_same_settings_is_reused_and_one_of_others_is_not(tmp_path, monkeypatch):
    # given a stack on record that was started with the settings of now
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    started = tuple(ServiceRunner(one).record for one in plan(load()))
    state_file.write(tmp_path, state_file.StackRecord(services=started))
    check_settings(tmp_path, plan(load()))

    monkeypatch.setenv("OVERNIGHT_SERVING_PORT", str(free_port()))

    with pytest.raises(ConfigurationError, match=r"other settings.*serving.*`overnight down`"):
        check_settings(tmp_path, plan(load()))


@pytest.mark.parametrize(
    ("setting", "value", "moved"),
    [
        ("S3_SECRET_KEY", "another", {"store", "serving", "worker"}),
        ("S3_ENDPOINT", "http://store.example", {"serving", "worker"}),
        ("SERVING_PORT", "9090", {"serving", "worker"}),
        ("SERVING_GRPC_PORT", "9091", {"serving", "worker"}),
        ("PREFECT_PORT", "4201", {"prefect", "deployments", "worker"}),
        ("CONFIRM_SECONDS", "7", {"worker"}),
    ],
)
def test_only_what_reads_a_setting_is_started_anew(tmp_path, monkeypatch, setting, value, moved):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    before = {one.name: one.fingerprint for one in plan(load())}
    monkeypatch.setenv(f"OVERNIGHT_{setting}", value)

    after = {one.name: one.fingerprint for one in plan(load())}

    assert {name for name in after if after[name] != before[name]} == moved
