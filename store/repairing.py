"""Repairing: adding what an audit missed, where its very bytes are known to be kept elsewhere.

Nothing is invented and nothing replaced: an object comes back only as the bytes that the manifest
of its version, or the index of an export, has the sha256 of.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from store.auditing import Observation
from store.bucket import Bucket, digest
from store.errors import AlreadyExists, CorruptVersion, UnknownVersion
from store.inventory import Item, Kind
from store.moving import read_exported, read_index
from store.versions import read_manifest

# Where the bytes of a key may be kept: they, or None.
Source = Callable[[str], bytes | None]


def exported(folder: Path) -> Source:
    """A finished export as a source.

    Raises:
        ExportChanged: it is none, or a file of it is not what its index says.
    """
    index = read_index(folder)
    return lambda key: read_exported(folder, index, key) if key in index.objects else None


def cached(bucket: Bucket, folders: Sequence[Path]) -> Source:
    """The disk caches of serving (`<folder>/<model>/<version>/<file>`) as a source."""

    def find(key: str) -> bytes | None:
        item = Item.of(key, 0)
        if item.kind is not Kind.FILE:
            return None
        name = item.names["name"]
        try:
            expected = read_manifest(bucket, item.model, item.version).files.get(name)
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


def repair(
    bucket: Bucket, findings: Sequence[Observation], sources: Sequence[Source]
) -> tuple[list[str], list[str]]:
    """Add what is missing, from the first source that has it; the keys added, and those lost."""
    added, lost = [], []
    for finding in findings:
        if not finding.is_missing:
            continue
        body = next(
            (found for source in sources if (found := source(finding.key)) is not None), None
        )
        if body is None:
            lost.append(finding.key)
            continue
        try:
            bucket.create(finding.key, body)
        except AlreadyExists:
            # Somebody else's came back first; the next audit judges it.
            continue
        added.append(finding.key)
    return added, lost
