"""Files in a local folder that others fill: which of them may be read, and which are left alone.

Only regular files are read: a link leads out of the folder, and a named pipe or a device never
ends. A name that begins with a dot belongs to no data: copying programs and file browsers make
such files. A file is at rest when it has not changed for `REST_SECONDS`, or stays the same for so
long while it is watched; one that is still being written is never read in part.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from overnight.store.errors import BadFile
from overnight.store.local_files import open_regular

# Programs that copy write more often than this.
REST_SECONDS = 2.0
_BLOCK_BYTES = 1 << 20
_KINDS = {
    stat.S_IFLNK: "a link, which is not followed",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True)
class LeftAlone:
    """A file that is not read, and why."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} is left alone: it is {self.why}"


class NotAtRest(BadFile):
    """A file that is being written, or was replaced; it is read when it is whole."""

    def __init__(self, name: str) -> None:
        super().__init__(
            name,
            expected=f"a file that stays the same for {REST_SECONDS:g} seconds",
            found="that it is being written; try again when it is whole",
        )


class SourceFile(Protocol):
    """A file of a source as it was when it was listed; `name` is its path from the folder."""

    @property
    def name(self) -> str: ...
    @property
    def place(self) -> str:
        """Where it is, for people."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...

    def read(self) -> bytes:
        """Its bytes, all of one state."""

    def open(self) -> BinaryIO:
        """The file, from its beginning and seekable."""

    def check(self, file: BinaryIO) -> None:
        """Raise `NotAtRest` unless an open file is in the state that was listed."""

    def digest(self) -> str:
        """The sha256 of its bytes."""


@dataclass(frozen=True)
class FolderFile:
    """A regular file as it was when it was looked at; `name` is its path from the folder."""

    path: Path
    name: str
    size_bytes: int
    mtime_ns: int
    inode: int

    @property
    def place(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        """Its bytes, all of one state.

        Raises:
            BadFile: it is another file now, or changed while it was read.
        """
        with self.open() as file:
            body = file.read()
            self.check(file)
        return body

    def open(self) -> BufferedReader:
        """The file, opened without following a link or waiting for a pipe.

        Raises:
            BadFile: it is another file now, or cannot be read.
        """
        # No folder on the way may be a link either, from the one that was listed.
        below = self.path.parents[len(Path(self.name).parts) - 1]
        try:
            file = open_regular(self.path, below=below)
        except OSError as error:
            expected = "a file that can be read"
            raise BadFile(self.name, expected=expected, found=str(error.strerror)) from None
        try:
            self.check(file)
        except BadFile:
            file.close()
            raise
        return file

    def digest(self) -> str:
        """The sha256 of its bytes; raises as `read`."""
        with self.open() as file:
            sha256 = sha256_of(file)
            self.check(file)
        return sha256

    def check(self, file: BinaryIO) -> None:
        """Raise unless an open file is in the state that was seen."""
        if _seen(self.path, self.name, os.fstat(file.fileno())) != self:
            raise self.changed()

    def changed(self) -> NotAtRest:
        """The error about a file that does not rest."""
        return NotAtRest(self.name)


@dataclass(frozen=True)
class FolderListing:
    """The regular files of a folder by name, and what else is in it."""

    files: tuple[FolderFile, ...]
    left_alone: tuple[LeftAlone, ...]


@runtime_checkable
class FolderSource(Protocol):
    """The optional interface of sources whose arrivals are files of a folder, one in each."""

    def arrival_files(self) -> Mapping[str, SourceFile]:
        """The file of each arrival by the arrival's name, whether it was delivered or not."""

    def holdout_file(self) -> str:
        """The name of the file of the frozen holdout."""

    def left_alone(self) -> tuple[LeftAlone, ...]:
        """What the last `deliver` did not read, and why."""


def list_folder(folder: Path, *, deep: bool = False) -> FolderListing:
    """The files of a folder; with `deep` those of the folders in it as well."""
    entries = sorted(_entries(folder, folder, deep=deep), key=lambda entry: entry.name)
    return FolderListing(
        tuple(entry for entry in entries if isinstance(entry, FolderFile)),
        tuple(entry for entry in entries if isinstance(entry, LeftAlone)),
    )


def inspect(path: Path, name: str) -> FolderFile | LeftAlone:
    """One file, or why it is none that may be read.

    Raises:
        OSError: it cannot be looked at.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return LeftAlone(name, _KINDS.get(stat.S_IFMT(status.st_mode), "a device"))
    return _seen(path, name, status)


def regular_file(path: Path) -> FolderFile:
    """One file, by its own name.

    Raises:
        BadFile: it is no regular file.
        OSError: it cannot be looked at.
    """
    file = inspect(path, path.name)
    if isinstance(file, LeftAlone):
        raise BadFile(file.name, expected="a regular file", found=file.why)
    return file


def still_written(
    files: Iterable[FolderFile], *, wait: Callable[[float], None] = time.sleep
) -> set[FolderFile]:
    """Those of some files that are not at rest; waits once, if any of them is young."""
    now = time.time()
    # A time to come is that of another clock, which says nothing about the age.
    young = [file for file in files if now - file.mtime_ns / 1e9 < REST_SECONDS]
    if young:
        wait(REST_SECONDS)
    return {file for file in young if not _is_same(file)}


def sha256_of(file: BinaryIO) -> str:
    """The sha256 of the rest of a file."""
    sha256 = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        sha256.update(block)
    return sha256.hexdigest()


def _is_same(file: FolderFile) -> bool:
    try:
        return inspect(file.path, file.name) == file
    except OSError:
        return False


def _entries(root: Path, folder: Path, *, deep: bool) -> Iterator[FolderFile | LeftAlone]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield inspect(path, str(path.relative_to(root)))
            elif deep:
                yield from _entries(root, path, deep=deep)


def _seen(path: Path, name: str, status: os.stat_result) -> FolderFile:
    return FolderFile(path, name, status.st_size, status.st_mtime_ns, status.st_ino)
