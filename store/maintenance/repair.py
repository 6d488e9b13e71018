"""Repair: restores missing objects from sources whose bytes are verified.

Nothing is replaced: a missing object is created again only with the bytes whose sha256 is in the
manifest of its version or in the index of an export. An entry of a log is restored only if it
continues the log as it is: the bucket may have written other entries since the export.
"""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

from overnight.store.errors import (
    AlreadyExists,
    BadFile,
    ConfigurationError,
    CorruptVersion,
    NotFound,
    TooLarge,
    UnknownVersion,
)
from overnight.store.maintenance.audit_rules import Observation
from overnight.store.maintenance.export_format import read_exported, read_file, read_index
from overnight.store.maintenance.restore import rank
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.key_parser import Item, Kind
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.registry import ModelRegistry

_TRANSIENT = {
    Kind.ARRIVAL,
    Kind.LANDED,
    Kind.REASON,
    Kind.QUARANTINED,
    Kind.PROBE,
    Kind.RECORDED,
    Kind.SEGMENT,
    Kind.UNKNOWN,
}
# The first entries of logs, which differ between any two buckets: they identify one.
_IDENTIFYING = re.compile(r"/aliases/champion/00000001\.json$|/_delta_log/0{20}\.json$")
_ENTRY = re.compile(r"(.+/(?:aliases/[^/]+|settings|arrivals/[^/]+|_delta_log))/(\d{8,})(\D.*)")
# Returns the bytes of a key, or None when it does not have them.
Source = Callable[[str], bytes | None]


class Export:
    """A finished export of this bucket as a source.

    Raises:
        ExportChanged: there is none in the folder, or a file differs from its index.
        ConfigurationError: it is the export of another bucket.
    """

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self._bucket, self._folder = bucket, folder
        self._index = read_index(folder)
        for key in filter(_IDENTIFYING.search, self._index.objects):
            if self._is_same(key) is False:
                raise ConfigurationError(
                    f"{folder} is not an export of this bucket: their {key} differ; name one of "
                    "this bucket, or remove that key first if it is damaged"
                )

    def __call__(self, key: str) -> bytes | None:
        if key not in self._index.objects or not self._continues_log(key):
            return None
        return read_exported(self._folder, self._index, key)

    def missing_keys(self, model: str | None = None) -> list[str]:
        """The keys of the export that the bucket lacks, in the order in which to restore them.

        Arrivals and probes, which come and go, and files that retention deleted are left out.
        """
        existing = self._bucket.sizes_below("")
        absent = [
            Item.of(key, entry.size_bytes)
            for key, entry in self._index.objects.items()
            if key not in existing
        ]
        lost = [
            item.key
            for item in absent
            if item.model
            and model in {None, item.model}
            and item.kind not in _TRANSIENT
            and not _is_of_rows(item)
            and not self._was_collected(item, existing)
        ]
        return sorted(lost, key=lambda key: (rank(key), key))

    def _was_collected(self, item: Item, existing: Container[str]) -> bool:
        if item.kind not in {Kind.FILE, Kind.SIGNATURE}:
            return False
        deleted, revoked, published = (
            key(item.model, item.version) in existing
            for key in (keys.tombstone, keys.tombstone_revoked, keys.manifest)
        )
        # Signatures of published versions stay. So do reports, but an audit finds those missing.
        return deleted and not revoked and not (item.kind is Kind.SIGNATURE and published)

    def _continues_log(self, key: str) -> bool:
        """Whether the neighbours of a log's entry are the same in the bucket and in the export."""
        entry = _ENTRY.fullmatch(key)
        if entry is None:
            return True
        prefix, number, rest = entry.groups()
        same = {
            offset: self._is_same(f"{prefix}/{int(number) + offset:0{len(number)}d}.json")
            for offset in (-1, 0, 1)
        }
        if rest != ".json":
            # An acknowledgement or a checkpoint belongs to exactly this entry.
            return same[0] is True
        # The one before must be equal, and the one after may not be another's: else this entry
        # belongs to a history that the bucket does not share.
        is_first = int(number) == (0 if prefix.endswith("/_delta_log") else 1)
        return (is_first or same[-1] is True) and same[1] is not False

    def _is_same(self, key: str) -> bool | None:
        """Whether bucket and export hold the same object; None when one of them has none."""
        expected = self._index.objects.get(key)
        if expected is None:
            return None
        try:
            return digest(self._bucket.read(key, expected.size_bytes)) == expected.sha256
        except NotFound:
            return None
        except TooLarge:
            return False


def _is_of_rows(item: Item) -> bool:
    """Whether it is a Parquet file of a table: an audit names those that are needed."""
    return item.kind is Kind.TABLE and "/_delta_log/" not in item.key


def cached(bucket: Bucket, folders: Sequence[Path]) -> Source:
    """The disk caches of serving as a source (`<folder>/<model>/<version>/<file>`)."""

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
            path = folder / item.model / item.version / name
            if expected is None:
                continue
            try:
                body = read_file(path, expected.size_bytes + 1, below=folder)
            except (OSError, BadFile):
                continue
            if digest(body) == expected.sha256:
                return body
        return None

    return find


def restate_champion(registry: ModelRegistry, actor: Actor) -> AliasRecord | None:
    """Name the champion once more, in a signed record after one that does not count.

    Readers of earlier releases, which verify no signature, follow the newest object of a log. None
    if the log ends with a record that counts, or if no record of it does.

    Raises:
        PromotionConflict: the champion was moved at the same moment.
    """
    log = registry.champion
    numbers, current = log.sequences(), log.current()
    if current is None or current.signed is None or numbers[-1] == current.sequence:
        return None
    return log.append(current.version, expected=current.version, actor=actor)


def missing(findings: Iterable[Observation]) -> list[str]:
    """The keys that should exist and do not."""
    return [finding.key for finding in findings if finding.is_missing]


def repair(
    bucket: Bucket, wanted: Iterable[str], sources: Sequence[Source]
) -> tuple[list[str], list[str]]:
    """Restore each wanted key from the first source that has it; keys restored and keys lost."""
    added, lost = [], []
    for key in dict.fromkeys(wanted):
        bodies = (source(key) for source in sources)
        body = next((body for body in bodies if body is not None), None)
        if body is None:
            lost.append(key)
            continue
        try:
            bucket.create(key, body)
        except AlreadyExists:
            # Another repair was faster; the next audit checks the object.
            continue
        added.append(key)
    return added, lost
