"""Moving: what an export consists of, and how its folder is read and written.

The folder holds every object as a plain file under `content/`, and `index.json`, written last, with
the size and sha256 of each. See `export.py` and `restore.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from overnight.store.errors import BadKey, ExportChanged
from overnight.store.objects import keys
from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import FileEntry
from overnight.store.values import Value

INDEX, CONTENT = "index.json", "content"
AT_ONCE = 8
# A hint that Delta Lake overwrites, and does without.
_HINT = "_last_checkpoint"
# What is told of bytes done, of so many, and of what is being done.
Told = Callable[[str, int, int], None]


class Index(Value):
    """What an export consists of; keys that no store of ours could hold stay behind."""

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
        index = Index.model_validate_json((folder / INDEX).read_bytes())
        for key in index.objects:
            keys.check(key)
    except FileNotFoundError:
        raise ExportChanged(
            folder / INDEX, expected="the index of a finished export", found="none"
        ) from None
    except (OSError, ValidationError, BadKey) as error:
        why = str(error).splitlines()[0]
        raise ExportChanged(folder / INDEX, expected="an index", found=why) from None
    if index.format != 1:
        raise ExportChanged(folder / INDEX, expected="format 1", found=f"{index.format}")
    return index


def read_exported(folder: Path, index: Index, key: str) -> bytes:
    """One object of an export, held against its index.

    Raises:
        ExportChanged: it is missing, or not what the index says.
    """
    try:
        body = path_of(folder, key).read_bytes()
    except OSError as error:
        raise ExportChanged(
            path_of(folder, key), expected="a file of the export", found=f"{error.strerror}"
        ) from None
    expected, found = index.objects[key], FileEntry(size_bytes=len(body), sha256=digest(body))
    if found != expected:
        raise ExportChanged(
            path_of(folder, key),
            expected=f"sha256 {expected.sha256} ({expected.size_bytes} bytes)",
            found=f"sha256 {found.sha256} ({found.size_bytes} bytes)",
        )
    return body


def path_of(folder: Path, key: str) -> Path:
    return folder / CONTENT / key


def is_passing(key: str) -> bool:
    return key.startswith("probe/") or key.endswith(f"/{_HINT}")


class Work:
    """Something that is done for each of many objects, and told of in bytes."""

    def __init__(
        self, name: str, objects: Mapping[str, FileEntry], told: Told, *, done: int = 0
    ) -> None:
        self._name, self._objects, self._told, self._done = name, objects, told, done
        self._total = sum(entry.size_bytes for entry in objects.values())

    def each(
        self, wanted: Iterable[str], act: Callable[[str], object], *, at_once: int = AT_ONCE
    ) -> None:
        """Do it for all that are wanted, several at once; the first trouble ends it."""
        wanted = list(wanted)
        pool = ThreadPoolExecutor(at_once)
        try:
            for key, _ in zip(wanted, pool.map(act, wanted), strict=True):
                self._done += self._objects[key].size_bytes
                self._told(self._name, self._done, self._total)
        finally:
            pool.shutdown(cancel_futures=True)


def files(folder: Path) -> set[str]:
    """The keys of all files below `content/`, whatever they are."""
    content = folder / CONTENT
    return {
        path.relative_to(content).as_posix() for path in content.rglob("*") if not path.is_dir()
    }
