"""Repairing: adding what an audit missed, where its very bytes are known to be kept elsewhere.

Nothing is invented and nothing replaced: an object comes back only as the bytes that the manifest
of its version, or the index of an export, has the sha256 of. Whatever is numbered comes back only
where it goes on from what is there: a log that was written on since is not that of the export.
"""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

from overnight.store.errors import (
    AlreadyExists,
    ConfigurationError,
    CorruptVersion,
    NotFound,
    UnknownVersion,
)
from overnight.store.maintenance.audit_rules import Observation
from overnight.store.maintenance.export_format import read_exported, read_index
from overnight.store.maintenance.restore import rank
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.key_parser import Item, Kind
from overnight.store.registry.registry import ModelRegistry

_PASSING = {
    Kind.ARRIVAL,
    Kind.LANDED,
    Kind.REASON,
    Kind.QUARANTINED,
    Kind.PROBE,
    Kind.UNKNOWN,
}
# What a bucket writes once, and no other bucket in the same words.
_FIRST = re.compile(r"/aliases/champion/00000001\.json$|/_delta_log/0{20}\.json$")
_ENTRY = re.compile(r"(.+/(?:aliases/[^/]+|settings|arrivals/[^/]+|_delta_log))/(\d{8,})(\D.*)")
# Where the bytes of a key may be kept: they, or None.
Source = Callable[[str], bytes | None]


class Export:
    """A finished export of this bucket as a source.

    Raises:
        ExportChanged: it is none, or a file of it is not what its index says.
        ConfigurationError: it is one of another bucket.
    """

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self._bucket, self._folder = bucket, folder
        self._index = read_index(folder)
        for key in filter(_FIRST.search, self._index.objects):
            if self._is_same(key) is False:
                raise ConfigurationError(
                    f"{folder} is no export of this bucket: each has a {key} of its own; name one "
                    "of this bucket, or remove that key first if it is damaged"
                )

    def __call__(self, key: str) -> bytes | None:
        if key not in self._index.objects or not self._goes_on(key):
            return None
        return read_exported(self._folder, self._index, key)

    def lacking(self, model: str | None = None) -> list[str]:
        """What the export has, and the bucket should and does not: what is named comes first.

        What passes by (arrivals, probes) and what retention let go of is no loss.
        """
        there = self._bucket.sizes_below("")
        found = [
            Item.of(key, entry.size_bytes)
            for key, entry in self._index.objects.items()
            if key not in there
        ]
        lost = [
            item.key
            for item in found
            if item.model
            and model in {None, item.model}
            and item.kind not in _PASSING
            and not _is_of_rows(item)
            and not self._was_let_go_of(item, there)
        ]
        return sorted(lost, key=lambda key: (rank(key), key))

    def _was_let_go_of(self, item: Item, there: Container[str]) -> bool:
        if item.kind not in {Kind.FILE, Kind.SIGNATURE}:
            return False
        said, kept, published = (
            form(item.model, item.version) in there
            for form in (keys.tombstone, keys.tombstone_revoked, keys.manifest)
        )
        # Signatures of what was published stay; its report too, and an audit misses that by name.
        return said and not kept and not (item.kind is Kind.SIGNATURE and published)

    def _goes_on(self, key: str) -> bool:
        """Whether the entries of a log beside this one are the export's, and one is before it."""
        found = _ENTRY.fullmatch(key)
        if found is None:
            return True
        prefix, number, rest = found.groups()
        same = {
            place: self._is_same(f"{prefix}/{int(number) + place:0{len(number)}d}.json")
            for place in (-1, 0, 1)
        }
        if rest != ".json":
            # What is said of an entry (a host's word, a checkpoint) follows that very entry.
            return same[0] is True
        is_first = int(number) == (0 if prefix.endswith("/_delta_log") else 1)
        return (is_first or same[-1] is True) and same[1] is not False

    def _is_same(self, key: str) -> bool | None:
        """Whether both hold the same; None when the bucket has none, or the export knows none."""
        expected = self._index.objects.get(key)
        try:
            found = digest(self._bucket.read(key))
        except NotFound:
            return None
        return None if expected is None else found == expected.sha256


def _is_of_rows(item: Item) -> bool:
    """Whether it is a table's own Parquet: an audit misses those that are needed, by name."""
    return item.kind is Kind.TABLE and "/_delta_log/" not in item.key


def cached(bucket: Bucket, folders: Sequence[Path]) -> Source:
    """The disk caches of serving (`<folder>/<model>/<version>/<file>`) as a source."""

    def find(key: str) -> bytes | None:
        item = Item.of(key, 0)
        if item.kind is not Kind.FILE:
            return None
        name = item.names["name"]
        try:
            expected = ModelRegistry(bucket, item.model).manifest(item.version).files.get(name)
        except (UnknownVersion, CorruptVersion):
            return None
        for folder in folders:
            place = folder / item.model / item.version / name
            if expected is None or not place.is_file():
                continue
            body = place.read_bytes()
            if digest(body) == expected.sha256:
                return body
        return None

    return find


def missing(findings: Iterable[Observation]) -> list[str]:
    """The keys that are not there and have to be."""
    return [finding.key for finding in findings if finding.is_missing]


def repair(
    bucket: Bucket, wanted: Iterable[str], sources: Sequence[Source]
) -> tuple[list[str], list[str]]:
    """Add what is wanted, from the first source that has it; the keys added, and those lost."""
    added, lost = [], []
    for key in dict.fromkeys(wanted):
        body = next((found for source in sources if (found := source(key)) is not None), None)
        if body is None:
            lost.append(key)
            continue
        try:
            bucket.create(key, body)
        except AlreadyExists:
            # Somebody else's came back first; the next audit judges it.
            continue
        added.append(key)
    return added, lost
