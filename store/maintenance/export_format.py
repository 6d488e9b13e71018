"""The format of an export: its index and its folder.

The folder holds every object as a plain file under `content/`, and `index.json`, written last, with
the size and sha256 of each object. See `export.py` and `restore.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from overnight.store.errors import BadFile, BadKey, ExportChanged
from overnight.store.local_files import open_regular, regular_files
from overnight.store.objects import keys
from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import FileEntry
from overnight.store.values import Value

INDEX, CONTENT = "index.json", "content"
AT_ONCE = 8
# Of the index, which is read whole: millions of objects.
_INDEX_BYTES = 1_000_000_000
# What people sent and what they were answered is not copied: deletion and retention could not reach
# the copy. Nothing else refers to it.
_PRIVATE = ("predictions/", "labels/", "spool/")
# A cache that Delta Lake overwrites and can do without.
_HINT = "_last_checkpoint"
# Called with what is being done, the bytes done so far, and the total.
Progress = Callable[[str, int, int], None]


class Index(Value):
    """The objects of an export; keys outside the grammar are left behind."""

    format: int = 1
    source: str
    objects: dict[str, FileEntry]
    left_behind: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.objects.values())


def read_index(folder: Path) -> Index:
    """The index of a finished export.

    Raises:
        ExportChanged: there is none, or it cannot be read.
    """
    try:
        index = Index.model_validate_json(read_file(folder / INDEX, _INDEX_BYTES, below=folder))
        for key in index.objects:
            keys.check(key)
    except FileNotFoundError:
        raise ExportChanged(
            folder / INDEX, expected="the index of a finished export", found="none"
        ) from None
    except (OSError, ValidationError, BadKey, BadFile) as error:
        why = str(error).splitlines()[0]
        raise ExportChanged(folder / INDEX, expected="an index", found=why) from None
    if index.format != 1:
        raise ExportChanged(folder / INDEX, expected="format 1", found=f"{index.format}")
    return index


def read_exported(folder: Path, index: Index, key: str) -> bytes:
    """One object of an export, verified against its index.

    Raises:
        ExportChanged: it is missing, no regular file, or differs from the index.
    """
    expected = index.objects[key]
    try:
        # One byte more shows that a file is longer; a longer one is not read to its end.
        body = read_file(path_of(folder, key), expected.size_bytes + 1, below=folder)
    except BadFile as error:
        raise ExportChanged(
            path_of(folder, key), expected=error.expected, found=error.found
        ) from None
    except OSError as error:
        raise ExportChanged(
            path_of(folder, key), expected="a file of the export", found=f"{error.strerror}"
        ) from None
    actual = FileEntry(size_bytes=len(body), sha256=digest(body))
    if actual != expected:
        raise ExportChanged(
            path_of(folder, key),
            expected=f"sha256 {expected.sha256} ({expected.size_bytes} bytes)",
            found=f"sha256 {actual.sha256} ({actual.size_bytes} bytes)",
        )
    return body


def path_of(folder: Path, key: str) -> Path:
    return folder / CONTENT / key


def is_transient(key: str) -> bool:
    """Whether an object comes and goes or is private, so that it is no part of an export."""
    return key.startswith(("probe/", *_PRIVATE)) or key.endswith(f"/{_HINT}")


class Work:
    """An action on each of many objects, with progress in bytes."""

    def __init__(
        self, name: str, objects: Mapping[str, FileEntry], progress: Progress, *, done: int = 0
    ) -> None:
        self._name, self._objects, self._progress, self._done = name, objects, progress, done
        self._total = sum(entry.size_bytes for entry in objects.values())

    def each(
        self, wanted: Iterable[str], act: Callable[[str], object], *, at_once: int = AT_ONCE
    ) -> None:
        """Run `act` on the wanted keys, several at once; the first error ends it."""
        wanted = list(wanted)
        pool = ThreadPoolExecutor(at_once)
        try:
            for key, _ in zip(wanted, pool.map(act, wanted), strict=True):
                self._done += self._objects[key].size_bytes
                self._progress(self._name, self._done, self._total)
        finally:
            pool.shutdown(cancel_futures=True)


def files(folder: Path) -> set[str]:
    """The keys of all files below `content/`.

    Raises:
        BadFile: something in it is neither a file nor a folder, such as a link.
    """
    content = folder / CONTENT
    if not content.exists():
        return set()
    return {path.relative_to(content).as_posix() for path in regular_files(content)}


def read_file(path: Path, most: int, *, below: Path) -> bytes:
    """The first `most` bytes of a regular file of an export in the folder `below`.

    Raises:
        BadFile, OSError: it is no regular file, or cannot be read.
    """
    with open_regular(path, below=below) as file:
        return file.read(most)
