"""Local files: atomic writes, locks, reloading of edited files, and folders that others filled.

A reader sees the old file or the new one, never a mixture. A lock is released when its process
ends. An edited file is parsed again when its mtime, inode or size changes; such files have one
entry a line, and `#` starts a comment. Of a folder that somebody else filled only regular files are
read: a link leads out of the folder, and a named pipe or a device never ends.
"""

import fcntl
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Generic, TypeVar

from overnight.store.errors import BadFile

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


def regular_files(folder: Path, *, hidden: bool = True) -> list[Path]:
    """Every file below a folder, at any depth, sorted; with `hidden`, those of dotted names too.

    Raises:
        BadFile: something in it is neither a file nor a folder: a link, a named pipe, a device.
        OSError: a folder in it cannot be listed.
    """
    files: list[Path] = []
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if not hidden and entry.name.startswith("."):
                    continue
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                else:
                    _check_regular(path, entry.stat(follow_symlinks=False).st_mode)
                    files.append(path)
    return sorted(files)


def open_regular(path: Path, *, below: Path | None = None) -> BufferedReader:
    """Open a regular file to read; its path is not followed through links that lie below `below`.

    Without `below` only the last name must be no link. Never waits, as opening a named pipe would.

    Raises:
        BadFile: it is a link, a named pipe, a device or a folder.
        OSError: it is missing, or may not be read; NotADirectoryError: a folder of it is a link.
    """
    below = path.parent if below is None else below
    *folders, name = path.relative_to(below).parts
    folder = os.open(below, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for each in folders:
            inner = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Before it is opened, because a link or a socket cannot be, and once more on what was.
        _check_regular(path, os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    file = os.fdopen(opened, "rb")
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)
    except BadFile:
        file.close()
        raise
    return file


def _check_regular(path: Path, mode: int) -> None:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    if not stat.S_ISREG(mode):
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise BadFile(str(path), expected="a regular file", found=kind)


def numbered_fields(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each line that has any, without comments."""
    for number, line in enumerate(text.splitlines(), start=1):
        if fields := line.partition("#")[0].split():
            yield number, fields
