"""Whether a version is whole: its files, its signature, its decision; nothing is asked here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from overnight.store.maintenance.audit_rules import (
    REPLACE,
    Observation,
    VersionState,
    error,
    note,
    warning,
)
from overnight.store.maintenance.retention_policy import Retention, heavy
from overnight.store.objects import keys
from overnight.store.registry.decisions import Decision
from overnight.store.registry.manifest import FileEntry, Manifest
from overnight.store.registry.tombstones import Tombstone


@dataclass(frozen=True)
class VersionRead:
    """All that was found of a version. `files` are those of the bundle, as their bytes are.

    `distrusted` is why no trusted signature fits; empty when one does, or when nobody looked.
    """

    model: str
    version: str
    manifest: Manifest | None = None
    has_manifest: bool = False
    decision: Decision | None = None
    collected: Tombstone | None = None
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    distrusted: str = ""

    @property
    def known(self) -> VersionState:
        """What logs have to know of it."""
        return VersionState(
            is_whole=self.has_manifest,
            verdict=self.decision.verdict if self.decision else None,
            is_collected=self.collected is not None,
        )

    @property
    def is_readable(self) -> bool:
        """Whether somebody could load it: whole, and its files are kept."""
        return self.manifest is not None and self.collected is None


def about(read: VersionRead, *, grace: Retention, now: datetime) -> Iterator[Observation]:
    """Everything there is to say of one version."""
    if not read.has_manifest:
        yield from _without_manifest(read, grace=grace, now=now)
        return
    if read.manifest is None:
        return
    if not keys.matches_fingerprint(read.version, read.manifest.fingerprint):
        key = keys.manifest(read.model, read.version)
        yield error(key, f"its fingerprint is {read.manifest.fingerprint[:12]}… by now")
    yield from _files(read, read.manifest)
    if read.distrusted and not (read.collected and read.collected.was == "half-written"):
        yield error(
            keys.manifest(read.model, read.version),
            read.distrusted,
            f"if it is yours, `overnight keys sign {read.model} {read.version}`",
        )
    if read.decision is None:
        key = keys.manifest(read.model, read.version)
        yield note(key, "it waits for a decision", f"`overnight approve {read.model}` or reject it")
    if read.collected is not None:
        key = keys.tombstone(read.model, read.version)
        yield note(key, f"collected on {read.collected.at:%Y-%m-%d} by {read.collected.by}")


def _without_manifest(
    read: VersionRead, *, grace: Retention, now: datetime
) -> Iterator[Observation]:
    key = keys.manifest(read.model, read.version)
    if read.decision is not None:
        # Whoever decided had read one.
        yield error(key, "it was decided about, and has no manifest", is_missing=True)
    elif read.collected is not None or not read.files:
        return
    elif grace.may_finish(read.version, now):
        yield note(key, f"half-written, {len(read.files)} files so far: it may be under way")
    else:
        yield warning(
            key,
            f"half-written for more than {grace.grace_days:g} days: its run died",
            f"`overnight gc {read.model} --delete` lets go of it",
        )


def _files(read: VersionRead, manifest: Manifest) -> Iterator[Observation]:
    gone = _collected(read, manifest)
    for name, expected in manifest.files.items():
        key = keys.version_file(read.model, read.version, name)
        found = read.files.get(name)
        if found is None and name not in gone:
            yield error(key, f"missing; expected {_told(expected)}", is_missing=True)
        elif found is not None and found != expected:
            yield error(
                key,
                f"expected {_told(expected)}, found {_told(found)}",
                REPLACE,
            )
    for name in sorted(read.files.keys() - manifest.files.keys()):
        key = keys.version_file(read.model, read.version, name)
        yield error(
            key,
            "added since the version was published: serving refuses it",
            "find out who wrote it, and remove it with the store's own tools",
        )


def _collected(read: VersionRead, manifest: Manifest) -> set[str]:
    """What may be gone. Of a half-written one everything is, also when its manifest came at the
    same instant: then nothing can serve it, and whoever published it was told.
    """
    if read.collected is None:
        return set()
    if read.collected.was == "half-written":
        return set(manifest.files)
    return set(heavy(manifest.files))


def _told(entry: FileEntry) -> str:
    return f"sha256 {entry.sha256[:16]}… ({entry.size_bytes} bytes)"
