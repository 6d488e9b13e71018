"""Export: a consistent copy of a bucket's whole content in a folder.

The bucket is listed until two consecutive listings are equal: then nothing came or went in between,
so every object that a listed one refers to is listed too. An interrupted export continues where it
stopped: `underway.jsonl` records what was fetched already.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from overnight.store.errors import (
    BadFile,
    BadKey,
    DestinationNotEmpty,
    NotFound,
    StoreUnavailable,
)
from overnight.store.local_files import PART, open_regular, write_atomically
from overnight.store.maintenance.export_format import (
    INDEX,
    Index,
    Progress,
    Work,
    files,
    is_transient,
    path_of,
    read_file,
)
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import FileEntry
from overnight.store.values import Value

_UNDERWAY = "underway.jsonl"
_LISTINGS = 20


class _Fetched(Value):
    key: str
    entry: FileEntry


class _Begun(Value):
    source: str


def export(bucket: Bucket, folder: Path, *, source: str, progress: Progress) -> Index:
    """Copy the whole bucket into a folder; an interrupted copy is continued.

    `source` describes the store, so that two stores are not mixed in one folder.

    Raises:
        DestinationNotEmpty: the folder holds something else, or a finished export.
        StoreUnavailable: the store changed faster than it could be listed.
    """
    journal = _begin(folder, source)
    for _ in range(_LISTINGS):
        sizes = _stable_listing(bucket)
        wanted = {key: size for key, size in sizes.items() if _is_exportable(key)}
        try:
            fetched = _fetch_all(bucket, folder, journal, wanted, progress)
        except NotFound:
            # An arrival was ingested meanwhile, or a version collected: list again.
            continue
        left = tuple(key for key in sizes if key not in wanted and not is_transient(key))
        return _finish(folder, Index(source=source, objects=fetched, left_behind=left))
    raise StoreUnavailable(source, f"its content changed {_LISTINGS} times while it was copied")


def _is_exportable(key: str) -> bool:
    try:
        keys.check(key)
    except BadKey:
        return False
    return not is_transient(key)


def _stable_listing(bucket: Bucket) -> Mapping[str, int]:
    """A listing that equals the one before it: sizes by key."""
    last = bucket.sizes_below("")
    for _ in range(_LISTINGS):
        now = bucket.sizes_below("")
        if {key for key in now if not is_transient(key)} == {
            key for key in last if not is_transient(key)
        }:
            return now
        last = now
    raise StoreUnavailable("the source", "its content changes faster than it can be listed")


def _begin(folder: Path, source: str) -> Path:
    """The journal of an export into this folder, new or from an interrupted export."""
    journal = folder / _UNDERWAY
    if (folder / INDEX).exists():
        raise DestinationNotEmpty(f"{folder}", found=f"an export that is finished ({INDEX})")
    if not journal.exists():
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        # A killed writer may have left an incomplete file, which is nobody's content.
        if names := [name for name in names if not name.startswith(PART)]:
            raise DestinationNotEmpty(f"{folder}", found=", ".join(names[:3]))
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(journal, _line(_Begun(source=source)))
    _check_regular(folder)
    first = _lines(journal)[:1]
    try:
        begun = _Begun.model_validate_json(first[0]).source if first else source
    except ValidationError:
        begun = "something else"
    if begun != source:
        raise DestinationNotEmpty(f"{folder}", found=f"a part of an export of {begun}")
    return journal


def _check_regular(folder: Path) -> None:
    """Check that nothing is written through a link, and no named pipe is waited for."""
    try:
        files(folder)
        open_regular(folder / _UNDERWAY).close()
    except BadFile as error:
        raise DestinationNotEmpty(f"{folder}", found=f"{error.found} ({error.file})") from None


def _lines(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines()


def _fetch_all(
    bucket: Bucket, folder: Path, journal: Path, wanted: Mapping[str, int], progress: Progress
) -> dict[str, FileEntry]:
    intact = _intact(folder, journal)
    fetched = {key: entry for key, entry in intact.items() if key in wanted}

    def fetch(key: str) -> None:
        body = bucket.read(key, wanted[key])
        write_atomically(path_of(folder, key), body)
        # In the journal only once its file is whole: what is not in there is fetched again.
        fetched[key] = FileEntry(size_bytes=len(body), sha256=digest(body))
        with journal.open("ab") as file:
            file.write(_line(_Fetched(key=key, entry=fetched[key])))

    sizes = {key: FileEntry(size_bytes=size, sha256="") for key, size in wanted.items()}
    work = Work("copying", sizes, progress, done=sum(sizes[key].size_bytes for key in fetched))
    work.each([key for key in wanted if key not in fetched], fetch)
    for key in files(folder) - wanted.keys():
        # Incomplete, or gone from the store since an interrupted attempt.
        path_of(folder, key).unlink()
    return {key: fetched[key] for key in sorted(fetched)}


def _intact(folder: Path, journal: Path) -> dict[str, FileEntry]:
    """The objects that an interrupted attempt fetched and that are unchanged."""
    intact: dict[str, FileEntry] = {}
    for line in _lines(journal)[1:]:
        try:
            fetched = _Fetched.model_validate_json(line)
        except ValidationError:
            # The line that was being written when the process died.
            continue
        try:
            path = path_of(folder, keys.check(fetched.key))
            body = read_file(path, fetched.entry.size_bytes + 1, below=folder)
        except (OSError, BadKey):
            continue
        if digest(body) == fetched.entry.sha256:
            intact[fetched.key] = fetched.entry
    return intact


def _finish(folder: Path, index: Index) -> Index:
    # The index last: a folder that has one is a finished export.
    write_atomically(folder / INDEX, index.model_dump_json(indent=2).encode())
    (folder / _UNDERWAY).unlink()
    return index


def _line(value: Value) -> bytes:
    return value.model_dump_json().encode() + b"\n"
