"""Arrivals are read in a process of their own, and what breaks it refuses only its arrival."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from overnight.models.definition import Places
from overnight.store.project import DeclaredModel, Project, current, use
from overnight.tasks.data.read_arrival import ReadOutcome, ReadRequest, row_batches
from overnight.tasks.data.reader_process import ReaderProcess, ReadLimits
from overnight.tasks.errors import StepFailed
from tests.support.parquet_bombs import parquet_bomb

GOOD = b"""basket_id,store_id,department,quantity,transaction_timestamp
1,2,DAIRY,3,2017-11-01 12:00
"""
LIMITS = ReadLimits(memory_mb=400)


def request(folder: Path, name: str, body: bytes | None) -> ReadRequest:
    """A request for one file; without a body it is a pipe, on which the reader waits."""
    path = folder / f"file-{name}"
    if body is None:
        os.mkfifo(path)
    else:
        path.write_bytes(body)
    return ReadRequest(arrival=name, files={name: path}, rows_file=folder / f"rows-{name}")


def reader(model: str, folder: Path, limits: ReadLimits = LIMITS) -> ReaderProcess:
    return ReaderProcess(model, Places(folder=None, cache=folder), limits, log=folder / "log")


def readers_of(pipe: Path) -> set[int]:
    """The processes that read arrivals for this one and have opened a pipe."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(os.getpid())],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    return {int(pid) for pid in listed.split() if str(pipe) in opened(Path("/proc") / pid / "fd")}


def opened(descriptors: Path) -> set[str]:
    try:
        return {str(link.readlink()) for link in descriptors.iterdir()}
    except OSError:
        # It ended meanwhile.
        return set()


def test_a_file_of_some_hundred_bytes_with_gigabytes_of_rows_is_refused_and_the_next_is_read(
    tmp_path: Path,
) -> None:
    bomb = parquet_bomb(200_000, text_bytes=18_000)
    assert len(bomb) < 1_000

    with reader("sales", tmp_path) as reading:
        refused = reading.read(request(tmp_path, "bomb.parquet", bomb))
        read = reading.read(request(tmp_path, "good.csv", GOOD))

    assert refused.rows == 0
    assert refused.failures or refused.rejected
    assert read == ReadOutcome(rows=1)
    (batch,) = row_batches(tmp_path / "rows-good.csv")
    assert batch.column("department").to_pylist() == ["DAIRY"]


def test_what_outlasts_its_time_is_refused(tmp_path: Path) -> None:
    with reader("sales", tmp_path, ReadLimits(seconds=0.2)) as reading:
        outcome = reading.read(request(tmp_path, "endless.csv", None))

    assert "takes longer than" in outcome.failures[0].message


@pytest.mark.parametrize("stopped", [False, True])
def test_what_ends_the_process_twice_is_refused_unless_somebody_stopped_it(
    tmp_path: Path, *, stopped: bool
) -> None:
    waiting = request(tmp_path, "deadly.csv", None)
    (path,) = waiting.files.values()

    def end() -> None:
        ended: set[int] = set()
        while len(ended) < (1 if stopped else 2):
            # Opening a pipe to write waits until a reader has opened it to read.
            writing = os.open(path, os.O_WRONLY)
            for child in readers_of(path) - ended:
                os.kill(child, signal.SIGTERM if stopped else signal.SIGSEGV)
                ended.add(child)
            os.close(writing)

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    with reader("sales", tmp_path) as reading:
        if stopped:
            with pytest.raises(StepFailed, match="was stopped"):
                reading.read(waiting)
            return
        outcome = reading.read(waiting)

    assert "ended the process by SIGSEGV, twice" in outcome.failures[0].message


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A folder of somebody's own models, with one that is like the sales and one that is absent."""
    before = current()
    declared = tuple(
        DeclaredModel(name, f"{name}_of_a_project", "overnight.toml")
        for name in ("corner", "absent")
    )
    use(Project(tmp_path, declared=declared))
    yield tmp_path
    use(before)


def test_a_model_of_a_project_is_read_by_a_process_that_knows_no_project(project: Path) -> None:
    (project / "corner_of_a_project.py").write_text(
        "from dataclasses import replace\n"
        "from overnight.models import sales\n"
        "DEFINITION = replace(sales.DEFINITION, name='corner')\n"
    )

    with reader("corner", project) as reading:
        outcome = reading.read(request(project, "good.csv", GOOD))

    assert (outcome.rows, outcome.failures) == (1, ())


def test_a_model_that_cannot_be_opened_is_no_fault_of_an_arrival(project: Path) -> None:
    with reader("absent", project) as reading, pytest.raises(StepFailed, match="did not start"):
        reading.read(request(project, "good.csv", GOOD))
