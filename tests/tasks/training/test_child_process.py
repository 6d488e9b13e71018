"""A step's child process ends at its time-out, with its parent, and reports why it failed."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from overnight.tasks.errors import StepFailed
from overnight.tasks.training import child_process
from tests.support.waiting import until

PROGRAM = """
import sys, time
from overnight.tasks.training.child_process import ends_with_parent
ends_with_parent()
match sys.argv[1]:
    case "talk":
        print("one", flush=True); print("two", flush=True)
    case "fail":
        print("the reason", file=sys.stderr); sys.exit(3)
    case "hang":
        print("hanging", flush=True)
        while True: time.sleep(1)
"""


PARENT = """
from pathlib import Path
from overnight.tasks.training import child_process
child_process.run("acts", ["hang"], log=Path({log!r}), seconds=60,
    on_line=lambda line: print(line, flush=True))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "acts.py").write_text(PROGRAM)
    root = Path(child_process.__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    return tmp_path


def run(program: Path, act: str, seconds: float = 30) -> list[str]:
    lines: list[str] = []
    child_process.run("acts", [act], log=program / "log", seconds=seconds, on_line=lines.append)
    return lines


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_each_printed_line_is_reported(program: Path) -> None:
    assert run(program, "talk") == ["one", "two"]


def test_a_failure_is_reported_with_its_last_line_and_its_log(program: Path) -> None:
    with pytest.raises(StepFailed, match=r"exit code 3: the reason; its log: .*log"):
        run(program, "fail")


def test_a_child_that_takes_too_long_is_killed(program: Path) -> None:
    with pytest.raises(StepFailed, match="stopped after 1 s; raise the time-out or train less"):
        run(program, "hang", seconds=1)


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
