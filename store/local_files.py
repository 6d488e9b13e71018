"""Files on this machine that several processes share: written whole, locked, read when changed.

A reader meets the old file or the new one and never half of either, a lock dies with whoever holds
it, and a file that somebody edits is parsed again as soon as its mtime, inode or size differ. Files
that people edit have one entry a line, and `#` begins a comment.
"""

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path
from typing import Generic, TypeVar

# What a file is called until it is whole; a killed process may leave one behind.
PART = ".part-"

T = TypeVar("T")


def write_atomically(path: Path, body: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    """Replace a file as a whole, with the permissions `mode` less the umask.

    `durable` bytes are on the disk before they get their name, so a power cut leaves the old file
    or the new one; without it only readers and killed writers are kept apart.

    Raises:
        OSError: it cannot be written; what was there before stays, and no draft is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic within one file system only; and not named
    # after the file, whose name may be as long as a name can be.
    draft = path.with_name(f"{PART}{uuid.uuid4().hex}")
    try:
        create(draft, body, durable=durable, mode=mode)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise


def create(path: Path, body: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    """Write a new file, which has its permissions before it has contents.

    Raises:
        FileExistsError: there is one; it stays as it is.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(body)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def lock(path: Path) -> BufferedRandom:
    """Wait for the lock on a file, which is made if need be; closing what is returned releases it.

    The kernel releases it when the process dies, however it dies. A file that others wait for must
    not be removed: they would hold the lock of a file that the next one does not see.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+b")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def try_lock(path: Path, *, existing: bool = False) -> BufferedRandom | None:
    """The lock on a file, as `lock` gives it, or None while another holds it.

    Raises:
        FileNotFoundError: only an `existing` file was to be locked, and there is none.
    """
    if not existing:
        path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("r+b" if existing else "a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return file


class ReloadingFile(Generic[T]):
    """What a file says, parsed again only when the file changed; not for several threads at once.

    What stat, read or parse raise goes to the caller, and the next call tries again.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], T]) -> None:
        self.path, self._parse = path, parse
        self._parsed: tuple[tuple[int, ...], T] | None = None

    def read(self) -> T:
        """The parsed contents; the same object as long as the file stays the same."""
        found = self.path.stat()
        # Taken before the bytes: what is written in between is read at the next call.
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if self._parsed is None or self._parsed[0] != stamp:
            self._parsed = (stamp, self._parse(self.path.read_bytes()))
        return self._parsed[1]


def numbered_fields(text: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line that has any, without its comment, and the number of the line."""
    for number, line in enumerate(text.splitlines(), start=1):
        if fields := line.partition("#")[0].split():
            yield number, fields
