"""Segments on the disk of a host: one open file for each worker and model, and the closed ones.

    <folder>/<model>/<segment>.open     a worker writes it, and holds its lock
    <folder>/<model>/<segment>          closed: to be shipped

The kernel releases the lock of a worker that dies, so an open segment whose lock is free is closed
for good, complete up to a torn end.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overnight.store.errors import BadKey
from overnight.store.local_files import PART, try_lock
from overnight.store.predictions.segments import Buffer, parse_segment_name, segment_name

OPEN = ".open"
# A worker that made a file under a temporary name and lives has long given it its name by then.
_ABANDONED_SECONDS = 60


@dataclass(frozen=True)
class SpoolUsage:
    """What is in the spool of a host, and not shipped.

    `oldest_seconds`: since the last record of the oldest segment. `closed`: the names of closed
    segments.
    """

    size_bytes: int = 0
    oldest_seconds: float = 0.0
    closed: frozenset[str] = frozenset()


def usage(folder: Path) -> SpoolUsage:
    """Measure the spool; one that is being changed meanwhile is measured as far as it is there."""
    size, oldest, closed = 0, time.time(), set()
    for path in _files(folder):
        with suppress(FileNotFoundError):
            status = path.stat()
            size += status.st_size
            if status.st_size:
                oldest = min(oldest, status.st_mtime)
            if not path.name.endswith(OPEN):
                closed.add(path.name)
    return SpoolUsage(size, max(0.0, time.time() - oldest), frozenset(closed))


def close_abandoned(folder: Path) -> None:
    """Close the segments of one model that dead workers left open."""
    for path in folder.glob(f"*{OPEN}"):
        with suppress(FileNotFoundError):
            if (held := try_lock(path, existing=True)) is not None:
                with held:
                    path.rename(path.with_suffix(""))
    for path in folder.glob(f"{PART}*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def closed_segments(folder: Path) -> list[Path]:
    """The closed segments of one model; those of one worker in the order of their numbers."""
    return sorted(path for path in folder.iterdir() if is_segment(path.name))


def is_segment(name: str) -> bool:
    """Whether a file's name is a closed segment's."""
    with suppress(BadKey):
        return bool(parse_segment_name(name))
    return False


class SegmentFile:
    """An open segment of a worker. Not thread-safe."""

    def __init__(self, folder: Path, incarnation: str, number: int) -> None:
        """Create it.

        Raises:
            OSError: the disk is full, or may not be written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / segment_name(incarnation, number)
        self._open_path = self._path.with_name(self._path.name + OPEN)
        self.size, self.begun = 0, time.monotonic()
        # Locked before it has its name: one that is seen unlocked is a dead worker's.
        draft = folder / f"{PART}{self._path.name}"
        self._file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            draft.rename(self._open_path)
        except OSError:
            os.close(self._file)
            raise

    @property
    def name(self) -> str:
        return self._path.name

    def write(self, *parts: Buffer) -> None:
        """Append the parts of a frame as a whole.

        It survives the death of this process, not of the machine.

        Raises:
            OSError: the disk is full; the file ends with the frame before, as far as it can be cut.
        """
        size = sum(map(len, parts))
        try:
            written = os.writev(self._file, parts)
            # Rarely: a signal came, or the disk is nearly full.
            rest = memoryview(b"" if written == size else b"".join(parts))[written:]
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
                os.lseek(self._file, self.size, os.SEEK_SET)
            raise
        self.size += size

    def close(self) -> None:
        """Have it shipped, or removed where nothing was written."""
        with suppress(OSError):
            if self.size:
                self._open_path.rename(self._path)
            else:
                self._open_path.unlink()
        os.close(self._file)


def _files(folder: Path) -> Iterator[Path]:
    for model in folder.glob("*"):
        yield from model.glob("*")
