"""Import: writes an export into an empty store, or continues an interrupted import.

Objects are written in the order of publishing, those that make others visible last, so that half an
import serves nothing. Then everything is read back.
"""

from itertools import groupby
from pathlib import Path

from overnight.store.errors import (
    AlreadyExists,
    BadFile,
    DestinationNotEmpty,
    ExportChanged,
    TooLarge,
)
from overnight.store.maintenance.export_format import (
    AT_ONCE,
    CONTENT,
    Index,
    Progress,
    Work,
    files,
    is_transient,
    read_exported,
    read_index,
)
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.key_parser import Item, Kind

# The order of writing: an object comes before those that refer to it.
_RANKS = {
    **dict.fromkeys((Kind.MANIFEST, Kind.ARRIVAL), 2),
    Kind.DECISION: 3,
    **dict.fromkeys(
        (Kind.TUNED_SETTINGS, Kind.ARRIVAL_REVIEW, Kind.ALIAS_RECORD, Kind.MONITOR_RECORD), 4
    ),
}
# Logs, in which a later entry must never exist without the earlier ones: one write at a time.
_LOGS = {1, 4}


def import_bucket(bucket: Bucket, folder: Path, *, progress: Progress) -> Index:
    """Write an export into a store that is empty or holds a part of that export.

    Everything is read back and verified against the index.

    Raises:
        DestinationNotEmpty: the store holds something that is not of this export.
        ExportChanged: the folder differs from its index, or the store returns other bytes.
    """
    index = read_index(folder)
    # Both checks first: nothing is written for an import that cannot succeed.
    _check_folder(folder, index, progress)
    _check_store(bucket, index)
    order = sorted(index.objects, key=lambda key: (rank(key), key))
    put = Work("writing", index.objects, progress)
    for at, group in groupby(order, rank):
        put.each(group, lambda key: _put(bucket, folder, index, key), at_once=_at_once(at))
    reread = Work("reading back", index.objects, progress)
    reread.each(order, lambda key: _compare(bucket, index, key))
    return index


def _check_folder(folder: Path, index: Index, progress: Progress) -> None:
    """Verify every file against the index before anything is written."""
    try:
        added = sorted(files(folder) - index.objects.keys())
    except BadFile as error:
        raise ExportChanged(error.file, expected=error.expected, found=error.found) from None
    if added:
        raise ExportChanged(
            folder / CONTENT, expected="the files of the index and no others", found=added[0]
        )
    work = Work("checking", index.objects, progress)
    work.each(list(index.objects), lambda key: read_exported(folder, index, key))


def _check_store(bucket: Bucket, index: Index) -> None:
    for key, size in bucket.sizes_below("").items():
        expected = index.objects.get(key)
        if not is_transient(key) and (expected is None or expected.size_bytes != size):
            raise DestinationNotEmpty("the store", found=f"{key}, which is not of this export")


def _put(bucket: Bucket, folder: Path, index: Index, key: str) -> None:
    try:
        bucket.create(key, read_exported(folder, index, key))
    except AlreadyExists:
        raise DestinationNotEmpty("the store", found=f"{key} with other contents") from None


def _compare(bucket: Bucket, index: Index, key: str) -> None:
    expected = index.objects[key]
    try:
        actual = digest(bucket.read(key, expected.size_bytes))
    except TooLarge as error:
        raise ExportChanged(key, expected=error.expected, found=error.found) from None
    if actual != expected.sha256:
        raise ExportChanged(
            key, expected=f"sha256 {expected.sha256}", found=f"{actual} in the store"
        )


def rank(key: str) -> int:
    return 1 if "/_delta_log/" in key else _RANKS.get(Item.of(key, 0).kind, 0)


def _at_once(rank: int) -> int:
    return 1 if rank in _LOGS else AT_ONCE
