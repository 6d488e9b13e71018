"""Local files shared by processes: atomic writes, locks, and reloading of edited files.

A reader sees the old file or the new one, never a mixture. A lock is released when its process
ends. An edited file is parsed again when its mtime, inode or size changes; such files have one
entry a line, and `#` starts a comment.
"""

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path
from typing import Generic, TypeVar

# Prefix of incomplete files; a killed process may leave one behind.
PART = ".part-"

T = TypeVar("T")


def write_atomically(path: Path, body: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    """Replace a file as a whole, with the permissions `mode` less the umask.

    `durable`: the bytes are on the disk before the rename, so that a power cut too leaves the old
    file or the new one.

    Raises:
        OSError: it cannot be written; the old file stays, and no incomplete one is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic only within one file system; and not named
    # after the file, whose name may have the maximum length already.
    draft = path.with_name(f"{PART}{uuid.uuid4().hex}")
    try:
        create(draft, body, durable=durable, mode=mode)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise


def create(path: Path, body: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    """Write a new file, whose permissions are set before it has contents.

    Raises:
        FileExistsError: there is one; it stays as it is.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(body)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def lock(path: Path) -> BufferedRandom:
    """Wait for the lock on a file, created if missing; closing the returned file releases it.

    The kernel also releases it when the process ends, however it ends. Never remove a lock file
    that others may wait for: they would get the lock of a file that later processes do not see.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+b")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def try_lock(path: Path, *, existing: bool = False) -> BufferedRandom | None:
    """The lock on a file, as from `lock`, or None while another process holds it.

    Raises:
        FileNotFoundError: `existing` is set and there is no such file.
    """
    if not existing:
        path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("r+b" if existing else "a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        # Only a held lock is an expected outcome; no lock support (NFS) is an error.
        if isinstance(error, BlockingIOError):
            return None
        raise
    return file


class ReloadingFile(Generic[T]):
    """The parsed contents of a file, parsed again only when it changed. Not thread-safe.

    Errors of stat, read and parse are raised to the caller; the next call tries again.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], T]) -> None:
        self.path, self._parse = path, parse
        self._parsed: tuple[tuple[int, ...], T] | None = None

    def read(self) -> T:
        """The parsed contents; the same object as long as the file stays the same."""
        # Before the read: a file that is replaced in between is read again at the next call.
        status = self.path.stat()
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if self._parsed is None or self._parsed[0] != stamp:
            self._parsed = (stamp, self._parse(self.path.read_bytes()))
        return self._parsed[1]


def numbered_fields(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each line that has any, without comments."""
    for number, line in enumerate(text.splitlines(), start=1):
        if fields := line.partition("#")[0].split():
            yield number, fields
