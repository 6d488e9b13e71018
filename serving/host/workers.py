"""Workers of this host: who is alive, who leads, and what each reports of each model.

A worker is alive as long as it holds the lock on its own file; the kernel lets go when it dies,
however it dies. Exactly one worker, the leader, holds the leader's lock.
"""

import os
import uuid
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path

from pydantic import ValidationError

from overnight.serving.telemetry.metrics import WorkerCounters
from overnight.store.local_files import lock, try_lock, write_atomically
from overnight.store.values import Value

# The lock comes last: as long as it is there, the others belong to somebody.
_FILES = (".json", ".counts", ".lock")


class ModelReport(Value):
    """What one worker says of one model."""

    prepared: tuple[int, ...] = ()
    refused: dict[int, str] = {}  # noqa: RUF012 - pydantic copies defaults
    oldest_in_use: int = 0


class WorkerReport(Value):
    """What one worker says."""

    worker: str
    pid: int
    models: dict[str, ModelReport] = {}  # noqa: RUF012 - pydantic copies defaults


class WorkerRegistration:
    """One worker, as the others see it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self.worker = uuid.uuid4().hex
        self._said: WorkerReport | None = None
        self._counted = WorkerCounters()
        # Locked before it is visible: whoever sees the file unlocked knows that we are dead.
        arriving = self._folder.with_name("arriving") / f"{self.worker}.lock"
        self._lock = lock(arriving)
        arriving.rename(self._folder / arriving.name)

    def say(self, models: dict[str, ModelReport]) -> None:
        """Tell the others; nothing is written while nothing changes."""
        report = WorkerReport(worker=self.worker, pid=os.getpid(), models=models)
        if report == self._said:
            return
        write_atomically(self._folder / f"{self.worker}.json", report.model_dump_json().encode())
        self._said = report

    def note_counts(self, snapshot: WorkerCounters) -> None:
        """Let whichever worker is asked tell what this one counted."""
        if snapshot != self._counted:
            path = self._folder / f"{self.worker}.counts"
            write_atomically(path, snapshot.model_dump_json().encode(), durable=False)
            self._counted = snapshot

    def leave(self) -> None:
        """No longer be counted."""
        for suffix in _FILES:
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

    def give_up(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def living(folder: Path) -> list[WorkerReport]:
    """What every living worker says; a worker that has said nothing yet is in it too.

    What the dead left behind is removed.
    """
    reports = []
    for path in sorted(folder.glob("*.lock")):
        try:
            abandoned = try_lock(path, existing=True)
        except FileNotFoundError:
            continue
        if abandoned is None:
            reports.append(_read(path.with_suffix(".json")))
            continue
        # Removed under the lock, so that of two who find the same dead worker one removes.
        with abandoned:
            for suffix in _FILES:
                path.with_suffix(suffix).unlink(missing_ok=True)
    return reports


def counted(folder: Path) -> dict[str, WorkerCounters]:
    """What every worker last noted, by the first eight letters of its name."""
    found = {}
    for path in sorted(folder.glob("*.counts")):
        with suppress(FileNotFoundError, ValidationError):
            found[path.stem[:8]] = WorkerCounters.model_validate_json(path.read_bytes())
    return found


def _read(path: Path) -> WorkerReport:
    try:
        return WorkerReport.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return WorkerReport(worker=path.stem, pid=0)
