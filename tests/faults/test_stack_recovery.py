"""A whole stack recovers when its services are killed."""

import json
import os
import signal
import socket
import urllib.request

import numpy as np
import psutil
import pytest

from overnight.infra.stack import orphan_runs, state_file
from overnight.infra.stack.processes import is_alive
from overnight.store.objects.keys import is_version
from overnight.tasks.outcomes import of_state
from tests.support.faults.tally import TALLY
from tests.support.stack import RunningStack
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1_800)]


def answers(stack: RunningStack) -> str:
    """Ask serving for one digit; the version that answered."""
    requested = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
    request = urllib.request.Request(
        f"{stack.serving_url}/v2/models/digits/infer",
        data=json.dumps({"inputs": [requested]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.headers["X-Model-Version"]


def still_answers(stack: RunningStack) -> str | None:
    try:
        return answers(stack)
    except OSError:
        return None


def start_retrain(stack: RunningStack, *words: str, force: bool = True) -> str:
    """Trigger a retrain without waiting for it; its id."""
    forced = ("--force",) if force else ()
    started = stack.overnight(
        "retrain", "digits", "--no-wait", "--no-ingest-first", *forced, *words
    )
    assert started.returncode == 0, started.stderr
    return started.stdout.partition("(")[2].partition(")")[0]


def state_of(stack: RunningStack, run: str) -> str:
    return of_state(stack.prefect.request("GET", f"/flow_runs/{run}")["state"]).outcome


def crashed(stack: RunningStack, run: str) -> bool:
    """Whether a run was ever Crashed, whatever became of it later."""
    states = stack.prefect.request("GET", f"/flow_run_states/?flow_run_id={run}")
    return any(state["type"] == "CRASHED" for state in states)


def await_step(stack: RunningStack, run: str, step: str) -> None:
    def running() -> bool:
        criteria = {"flow_runs": {"id": {"any_": [run]}}}
        found = stack.prefect.filter("/task_runs", **criteria)
        return any(task["name"].startswith(step) for task in found)

    until(running, seconds=240, what=f"the step {step} of {run}, which is {state_of(stack, run)}")


def run_processes(stack: RunningStack, run: str) -> list[psutil.Process]:
    return orphan_runs.processes_by_run(stack.prefect).get(run, [])


def await_end(stack: RunningStack, run: str, *names: str) -> str:
    until(lambda: state_of(stack, run) in names, seconds=900, what=f"an end of {run} in {names}")
    return state_of(stack, run)


def test_up_serves_a_version_and_status_reports_it(stack: RunningStack):
    reported = stack.query_json("status")

    assert reported["ready"]
    assert reported["problems"] == []
    assert {service["name"] for service in reported["services"]} == {
        "store", "prefect", "serving", "deployments", "worker",
    }  # fmt: skip
    digits = reported["models"]["digits"]
    assert is_version(digits["champion"]["version"])
    assert [acknowledgement["serving"] for acknowledgement in digits["acknowledgements"]] == [True]
    assert answers(stack) == digits["champion"]["version"]


def test_the_next_nightly_run_is_scheduled(stack: RunningStack):
    def scheduled():
        return stack.prefect.filter(
            "/flow_runs",
            flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}},
            deployments={"tags": {"all_": ["retrain"]}},
        )

    assert until(scheduled, what="a night on the schedule")


def test_the_automations_for_dead_runs_exist_once(stack: RunningStack):
    names = [one["name"] for one in stack.prefect.filter("/automations")]

    assert sorted(name for name in names if "run" in name and name.startswith("overnight: ")) == [
        "overnight: crashed runs are tried again",
        "overnight: runs that never start have crashed",
        "overnight: silent runs have crashed",
    ]


def test_a_second_up_reuses_everything_and_prints_the_same(stack: RunningStack):
    stack.await_ready()
    before = state_file.read(stack.home)

    again = stack.overnight("up")

    after = state_file.read(stack.home)
    assert again.returncode == 0
    assert [service.process for service in after.services] == [
        service.process for service in before.services
    ]
    assert all(url in again.stdout for url in (stack.serving_url, stack.prefect_url))


def test_predict_classifies_a_file(stack: RunningStack, tmp_path):
    one = np.zeros((28, 28), np.uint8)
    one[4:24, 13:15] = 255
    np.save(tmp_path / "one.npy", one)

    (answer,) = json.loads(
        stack.overnight("predict", "digits", str(tmp_path / "one.npy"), "--json").stdout
    )

    assert (answer["answer"], answer["version"]) == (1, stack.champion())


def test_a_second_stack_on_the_same_port_names_the_process_that_uses_it(
    stack: RunningStack, tmp_path
):
    environment = {**stack.environment, "OVERNIGHT_HOME": str(tmp_path)}
    second = RunningStack(tmp_path, environment, "", "", "")

    ended = second.overnight("up")

    port = stack.store_url.rpartition(":")[2]
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"port {port} is taken by process" in ended.stderr
    assert "OVERNIGHT_S3_PORT" in ended.stderr


@pytest.mark.parametrize("name", ["serving", "store", "prefect"])
def test_a_killed_service_restarts_and_the_champion_keeps_answering(stack, name):
    champion = stack.champion()

    killed = stack.kill(name)
    # What serves is in memory and in a cache, so that nothing else has to be there.
    if name != "serving":
        assert answers(stack) == champion
    stack.await_restart(name, killed)

    until(lambda: still_answers(stack) == champion, what="answers by the champion")
    TALLY.holds(stack.champion() == champion, f"the champion, over a killed {name}")


def test_a_run_survives_its_worker(stack: RunningStack):
    run = start_retrain(stack, "--epochs", "1", "--seed", "11")
    await_step(stack, run, "train")

    killed = stack.kill("worker")
    stack.await_restart("worker", killed)

    assert await_end(stack, run, "Promoted", "Refused", "Crashed") != "Crashed"


@pytest.mark.thorough  # `make test` has the one of test_prefect_failures.py
def test_a_killed_run_is_retried_and_no_incomplete_version_is_visible(stack: RunningStack):
    versions = [one["version"] for one in stack.query_json("versions", "digits")]
    run = start_retrain(stack, "--epochs", "1", "--seed", "12")
    await_step(stack, run, "train")

    killed = run_processes(stack, run)
    for process in killed:
        process.kill()
    TALLY.inject("a run was killed")
    seen = [one["version"] for one in stack.query_json("versions", "digits")]

    assert killed
    TALLY.holds(seen == versions, "versions as they were before a run was killed")
    assert await_end(stack, run, "Promoted", "Refused") in {"Promoted", "Refused"}
    assert crashed(stack, run)
    assert stack.prefect.request("GET", f"/flow_runs/{run}")["run_count"] >= 2


def test_a_killed_supervisor_is_replaced_while_services_keep_running(stack: RunningStack):
    stack.await_ready()
    before = state_file.read(stack.home)
    assert before.supervisor is not None
    os.kill(before.supervisor.pid, signal.SIGKILL)
    TALLY.inject("the supervisor was killed")
    until(lambda: not is_alive(before.supervisor), what="the supervisor gone")
    unsupervised = answers(stack)

    again = stack.overnight("up")

    after = state_file.read(stack.home)
    assert again.returncode == 0, again.stderr
    assert after.supervised
    assert [service.process for service in after.services] == [
        service.process for service in before.services
    ]
    assert unsupervised == answers(stack)


def test_after_everything_was_killed_at_once_nothing_is_lost(stack: RunningStack):
    champion = stack.champion()
    versions = stack.query_json("versions", "digits")
    before = state_file.read(stack.home)
    running = [service.process for service in before.services if service.process is not None]
    for process in [before.supervisor, *running]:
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
    TALLY.inject("everything was killed at once")

    again = stack.overnight("up")

    assert again.returncode == 0, again.stderr
    TALLY.holds(
        stack.query_json("versions", "digits") == versions,
        "a version, over the death of everything",
    )
    assert until(lambda: still_answers(stack), what="answers") == champion


def test_down_frees_the_ports_and_up_continues(stack: RunningStack):
    champion = stack.champion()

    stopped = stack.overnight("down", "--wait-seconds", "0")
    for url in (stack.serving_url, stack.prefect_url, stack.store_url):
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", int(url.rpartition(":")[2])))
    again = stack.overnight("up")

    assert (stopped.returncode, again.returncode) == (0, 0), again.stderr
    assert answers(stack) == champion
