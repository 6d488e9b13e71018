"""Workers of this host: which live, which one leads, and what each reports of each model.

A worker is alive as long as it holds the lock on its own file; the kernel releases it when the
process dies, however it dies. One that hangs is recognised by its heartbeat, a number in a mapped
file. Exactly one worker, the leader, holds the leader's lock.
"""

import os
import uuid
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path

from pydantic import ValidationError

from overnight.serving.host.shared_memory import NUMBER_BYTES, map_numbers
from overnight.serving.telemetry.metrics import WorkerCounters
from overnight.store.local_files import lock, try_lock, write_atomically
from overnight.store.values import Value

# The lock comes last: as long as it is there, the others belong to a worker.
_SUFFIXES = (".json", ".counts", ".beat", ".lock")


class ModelReport(Value):
    """One alias of a model in one worker: generations loaded, refused, and still answering.

    `oldest_in_use` is the oldest that a request without a version may still be answered by.
    """

    prepared: tuple[int, ...] = ()
    refused: dict[int, str] = {}  # noqa: RUF012 - pydantic copies defaults
    oldest_in_use: int = 0


class WorkerReport(Value):
    """What one worker has loaded, by slot."""

    worker: str
    pid: int
    models: dict[str, ModelReport] = {}  # noqa: RUF012 - pydantic copies defaults


class WorkerRegistration:
    """Registers this worker on its host, and publishes its reports to the other workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self.worker = uuid.uuid4().hex
        self._report: WorkerReport | None = None
        self._counters = WorkerCounters()
        # Locked before it is visible: a file that is seen unlocked means a dead worker.
        arriving = self._folder.with_name("arriving") / f"{self.worker}.lock"
        self._lock = lock(arriving)
        arriving.rename(self._folder / arriving.name)
        beat = map_numbers(self._folder / f"{self.worker}.beat", numbers=2, mode=0o644)
        self._heartbeat = memoryview(beat).cast("Q")
        self._heartbeat[0] = os.getpid()

    def beat(self) -> None:
        """Show that this worker does not hang."""
        self._heartbeat[1] += 1

    def report(self, models: dict[str, ModelReport]) -> None:
        """Publish what is loaded; nothing is written while nothing changes."""
        report = WorkerReport(worker=self.worker, pid=os.getpid(), models=models)
        if report == self._report:
            return
        write_atomically(self._folder / f"{self.worker}.json", report.model_dump_json().encode())
        self._report = report

    def write_counters(self, counters: WorkerCounters) -> None:
        """Publish what this worker counted, so that any worker can answer for all of them."""
        if counters != self._counters:
            path = self._folder / f"{self.worker}.counts"
            # Not flushed to disk: after a crash of the host all workers count from zero anyway.
            write_atomically(path, counters.model_dump_json().encode(), durable=False)
            self._counters = counters

    def remove(self) -> None:
        """Be counted among the workers no longer."""
        for suffix in _SUFFIXES:
            (self._folder / f"{self.worker}{suffix}").unlink(missing_ok=True)
        self._lock.close()


class LeaderLock:
    """The lock that one worker of the host holds; when it dies, the kernel frees it for another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: BufferedRandom | None = None

    def take(self) -> bool:
        """Whether this worker leads, now that it has tried."""
        if self._lock is None:
            self._lock = try_lock(self._path)
        return self._lock is not None

    @property
    def held(self) -> bool:
        """Whether this worker leads, without trying to."""
        return self._lock is not None

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def living_reports(folder: Path) -> list[WorkerReport]:
    """The report of every living worker, empty for one that has published none yet.

    Files of dead workers are removed.
    """
    reports = []
    for path in sorted(folder.glob("*.lock")):
        try:
            abandoned = try_lock(path, existing=True)
        except FileNotFoundError:
            continue
        if abandoned is None:
            reports.append(_read_report(path.with_suffix(".json")))
            continue
        # Removed under the lock, so that of two that find the same dead worker one removes.
        with abandoned:
            for suffix in _SUFFIXES:
                path.with_suffix(suffix).unlink(missing_ok=True)
    return reports


def read_counters(folder: Path) -> dict[str, WorkerCounters]:
    """What every worker last published, by the first eight letters of its name."""
    counters = {}
    for path in sorted(folder.glob("*.counts")):
        with suppress(FileNotFoundError, ValidationError):
            counters[path.stem[:8]] = WorkerCounters.model_validate_json(path.read_bytes())
    return counters


def read_heartbeats(folder: Path) -> dict[int, int]:
    """How often the heart of each worker has beaten, by process; without those that only start."""
    beats = {}
    for path in folder.glob("*.beat"):
        with suppress(FileNotFoundError):
            numbers = path.read_bytes()
            if len(numbers) == 2 * NUMBER_BYTES:
                pid, beat = memoryview(numbers).cast("Q")
                if beat:
                    beats[pid] = beat
    return beats


def _read_report(path: Path) -> WorkerReport:
    try:
        return WorkerReport.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return WorkerReport(worker=path.stem, pid=0)
