"""Exporting: a copy of a bucket's whole content in a folder, as of one moment.

The bucket is listed until two listings in a row are equal: then nothing came or went in between, so
whatever is named by something in the list is in it too. Cut off, a copy goes on where it stopped:
`underway.jsonl` remembers what was fetched already.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from overnight.store.errors import BadKey, DestinationNotEmpty, NotFound, StoreUnavailable
from overnight.store.local_files import PART, write_atomically
from overnight.store.maintenance.export_format import (
    INDEX,
    Index,
    Told,
    Work,
    files,
    is_passing,
    path_of,
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


def export(bucket: Bucket, folder: Path, *, source: str, told: Told) -> Index:
    """Copy everything into a folder; cut off, it goes on where it stopped.

    `source` names the store in words, so that two are not mixed in one folder.

    Raises:
        PlaceTaken: the folder holds something else, or an export that is finished.
        StoreUnavailable: the store changed faster than it could be listed.
    """
    journal = _begin(folder, source)
    for _ in range(_LISTINGS):
        sizes = _settled(bucket)
        wanted = {key: size for key, size in sizes.items() if _may_move(key)}
        try:
            fetched = _fetch_all(bucket, folder, journal, wanted, told)
        except NotFound:
            # An arrival was taken in meanwhile, or a version collected: look again.
            continue
        left = tuple(key for key in sizes if key not in wanted and not is_passing(key))
        return _finish(folder, Index(source=source, objects=fetched, left_behind=left))
    raise StoreUnavailable(source, f"its content changed {_LISTINGS} times while it was copied")


def _may_move(key: str) -> bool:
    try:
        keys.check(key)
    except BadKey:
        return False
    return not is_passing(key)


def _settled(bucket: Bucket) -> Mapping[str, int]:
    """A listing during which nothing came or went, so that whatever is named by it is in it."""
    last = bucket.sizes_below("")
    for _ in range(_LISTINGS):
        now = bucket.sizes_below("")
        if {key for key in now if not is_passing(key)} == {
            key for key in last if not is_passing(key)
        }:
            return now
        last = now
    raise StoreUnavailable("the source", "its content changes faster than it can be listed")


def _left_by_others(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir() if not path.name.startswith(PART))


def _begin(folder: Path, source: str) -> Path:
    """The journal of an export into this folder, new or begun before."""
    journal = folder / _UNDERWAY
    if (folder / INDEX).exists():
        raise DestinationNotEmpty(f"{folder}", found=f"an export that is finished ({INDEX})")
    if not journal.exists():
        if folder.exists() and (found := sorted(_left_by_others(folder))):
            raise DestinationNotEmpty(f"{folder}", found=", ".join(found[:3]))
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(journal, _line(_Begun(source=source)))
    first = journal.read_text().splitlines()[:1]
    try:
        begun = _Begun.model_validate_json(first[0]).source if first else source
    except ValidationError:
        begun = "something else"
    if begun != source:
        raise DestinationNotEmpty(f"{folder}", found=f"a part of an export of {begun}")
    return journal


def _fetch_all(
    bucket: Bucket, folder: Path, journal: Path, wanted: Mapping[str, int], told: Told
) -> dict[str, FileEntry]:
    there = _there(folder, journal)
    fetched = {key: entry for key, entry in there.items() if key in wanted}

    def fetch(key: str) -> None:
        body = bucket.read(key)
        write_atomically(path_of(folder, key), body)
        fetched[key] = FileEntry(size_bytes=len(body), sha256=digest(body))
        with journal.open("ab") as file:
            file.write(_line(_Fetched(key=key, entry=fetched[key])))

    sizes = {key: FileEntry(size_bytes=size, sha256="") for key, size in wanted.items()}
    work = Work("copying", sizes, told, done=sum(sizes[key].size_bytes for key in fetched))
    work.each([key for key in wanted if key not in fetched], fetch)
    for key in files(folder) - wanted.keys():
        # Cut off while it was written, or gone from the store since: no part of this moment.
        path_of(folder, key).unlink()
    return {key: fetched[key] for key in sorted(fetched)}


def _there(folder: Path, journal: Path) -> dict[str, FileEntry]:
    """What was fetched before and still is what it was."""
    found: dict[str, FileEntry] = {}
    for line in journal.read_text().splitlines()[1:]:
        try:
            one = _Fetched.model_validate_json(line)
        except ValidationError:
            # The line that was being written when the process died.
            continue
        place = path_of(folder, one.key)
        if place.is_file() and digest(place.read_bytes()) == one.entry.sha256:
            found[one.key] = one.entry
    return found


def _finish(folder: Path, index: Index) -> Index:
    write_atomically(folder / INDEX, index.model_dump_json(indent=2).encode())
    (folder / _UNDERWAY).unlink()
    return index


def _line(value: Value) -> bytes:
    return value.model_dump_json().encode() + b"\n"
