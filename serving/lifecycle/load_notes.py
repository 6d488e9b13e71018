"""Notes on disk of versions that are being loaded, by which a host learns what killed its workers.

A worker writes a note before it loads a version and removes it afterwards, and holds a lock on it
meanwhile. A note that is not locked is that of a worker which died while it loaded the version.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

from overnight.store.local_files import lock, try_lock

# Two deaths that lie further apart have nothing to do with each other.
REMEMBERED_SECONDS = 3_600.0


class LoadNotes:
    """The notes of all workers of a host, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def loading(self, model: str, version: str) -> Iterator[None]:
        """Hold a note that this process is loading a version."""
        note: tuple[Path, BufferedRandom] | None = None
        # A disk that is full must not keep a version from being loaded.
        with suppress(OSError):
            note = self._write(model, version)
        try:
            yield
        finally:
            if note is not None:
                path, held = note
                path.unlink(missing_ok=True)
                held.close()

    def deaths(self, model: str, version: str, *, since: float = 0.0) -> list[float]:
        """When each load of a version began that a worker did not survive, in seconds since 1970.

        `since`: loads that began earlier are left out, as are those of more than an hour ago.
        """
        since = max(since, time.time() - REMEMBERED_SECONDS)
        times = [_abandoned_at(path) for path in self._notes(model, version)]
        return sorted(began for began in times if began is not None and began >= since)

    def forget(self, model: str, version: str) -> None:
        """Remove the notes of dead workers about a version."""
        for path in self._notes(model, version):
            if _abandoned_at(path) is not None:
                path.unlink(missing_ok=True)

    def forget_all(self) -> None:
        """Remove the notes of a server that was stopped in good order, maybe while it loaded."""
        for path in self._folder.glob("*/*.note"):
            path.unlink(missing_ok=True)

    def _notes(self, model: str, version: str) -> list[Path]:
        return list((self._folder / model).glob(f"{version}.*.note"))

    def _write(self, model: str, version: str) -> tuple[Path, BufferedRandom]:
        # Locked before it is visible: a note that is seen unlocked means a dead worker.
        name = f"{version}.{uuid.uuid4().hex}.note"
        arriving = self._folder / model / f"arriving-{name}"
        held = lock(arriving)
        path = arriving.rename(arriving.with_name(name))
        return path, held


def _abandoned_at(path: Path) -> float | None:
    """When an abandoned note was written; None when its worker lives, or it is gone."""
    try:
        held = try_lock(path, existing=True)
        if held is None:
            return None
        with held:
            return path.stat().st_mtime
    except FileNotFoundError:
        return None
