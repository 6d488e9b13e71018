"""A step's child process ends at its time-out, with its parent, and reports why it failed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from overnight.tasks import child_process
from overnight.tasks.errors import StepFailed
from tests.support.waiting import until

PROGRAM = """
import subprocess, sys, time
from overnight.tasks.child_process import ends_with_parent
ends_with_parent()
match sys.argv[1]:
    case "talk":
        print("one", flush=True); print("two", flush=True)
    case "fail":
        print("the reason", file=sys.stderr); sys.exit(3)
    case "hang":
        print("hanging", flush=True)
        while True: time.sleep(1)
    case "grandchild":
        left = subprocess.Popen(["sleep", "600"], start_new_session=len(sys.argv) > 2)
        print(left.pid, flush=True)
        while True: time.sleep(1)
    case "leave":
        print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
    case "bytes":
        sys.stdout.buffer.write(b"caf\\xe9\\nna\\xc3\\xafve\\n\\xff"); sys.stdout.flush()
"""


PARENT = """
from pathlib import Path
from overnight.tasks import child_process
child_process.run("acts", ["hang"], log=Path({log!r}), seconds=60,
    on_line=lambda line: print(line, flush=True))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "acts.py").write_text(PROGRAM)
    root = Path(child_process.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    return tmp_path


def run(program: Path, *act: str, seconds: float = 30) -> list[str]:
    lines: list[str] = []
    child_process.run("acts", act, log=program / "log", seconds=seconds, on_line=lines.append)
    return lines


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def alive(pid: int) -> bool:
    try:
        return not gone(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def test_each_printed_line_is_reported(program: Path) -> None:
    assert run(program, "talk") == ["one", "two"]


def test_a_failure_is_reported_with_its_last_line_and_its_log(program: Path) -> None:
    with pytest.raises(StepFailed, match=r"exit code 3: the reason; its log: .*log"):
        run(program, "fail")


def test_a_child_that_takes_too_long_is_killed(program: Path) -> None:
    with pytest.raises(StepFailed, match="stopped after 1 s; raise the time-out or train less"):
        run(program, "hang", seconds=1)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("act", [("grandchild",), ("grandchild", "of a session of its own")])
def test_the_time_out_does_not_wait_for_a_grandchild_that_holds_the_output(
    program: Path, act: tuple[str, ...]
) -> None:
    printed: list[str] = []

    with pytest.raises(StepFailed, match="stopped after 2 s"):
        child_process.run("acts", act, log=program / "log", seconds=2, on_line=printed.append)

    (grandchild,) = map(int, printed)
    if len(act) > 1:
        os.kill(grandchild, signal.SIGKILL)
    until(lambda: not alive(grandchild), what="the grandchild is gone")


@pytest.mark.timeout(60)
def test_what_a_child_leaves_behind_does_not_delay_its_end(program: Path) -> None:
    (left,) = map(int, run(program, "leave"))

    until(lambda: not alive(left), what="what it left is gone")


def test_bytes_that_are_no_utf_8_are_replaced(program: Path) -> None:
    assert run(program, "bytes") == ["caf\ufffd", "naïve", "\ufffd"]


def test_a_captured_command_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess; left = subprocess.Popen(['sleep', '600']); "
        "print(left.pid, flush=True); left.wait()"
    )

    with pytest.raises(subprocess.TimeoutExpired) as late:
        child_process.capture([sys.executable, "-c", script], seconds=2)

    grandchild = int(late.value.stdout)
    until(lambda: not alive(grandchild), what="the grandchild is gone")


def test_a_captured_command_gets_its_input_and_its_bytes_are_replaced() -> None:
    script = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() + b'\\xe9'); sys.exit(3)"

    ended = child_process.capture([sys.executable, "-c", script], seconds=30, text="naïve ")

    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "naïve \ufffd", "")


@pytest.mark.servers
def test_a_child_exits_when_its_parent_is_killed(program: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PARENT.format(log=str(program / "log")),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "hanging\n"
    (orphan,) = psutil.Process(parent.pid).children()

    parent.kill()
    parent.wait()
    parent.stdout.close()

    until(lambda: gone(orphan), what="the orphan leaves")


def test_another_checkout_runs_its_own_module(tmp_path):
    checkout = tmp_path / "tree"
    package = checkout / "overnight" / "tasks" / "training"
    package.mkdir(parents=True)
    (package / "worker.py").write_text("print('of another tree')")
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    printed: list[str] = []

    child_process.run(
        "overnight.tasks.training.worker",
        [],
        log=tmp_path / "log",
        seconds=60,
        on_line=printed.append,
        checkout=checkout,
    )

    assert printed == ["of another tree"]
