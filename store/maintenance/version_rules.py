"""Rules of an audit about one version: its files, signature and decision, as pure functions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from overnight.store.maintenance.audit_rules import (
    INVESTIGATE,
    REPLACE,
    Observation,
    VersionState,
    error,
    note,
    warning,
)
from overnight.store.maintenance.retention_policy import Retention, heavy
from overnight.store.objects import keys
from overnight.store.registry.decision import Decision
from overnight.store.registry.manifest import FileEntry, Manifest
from overnight.store.registry.tombstones import Tombstone


@dataclass(frozen=True)
class VersionRead:
    """What was read of a version. `files` are those of the bundle, with their actual digests.

    `distrusted` is why no trusted signature fits; empty when one does or none was checked.
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
        """What is needed of it to check the logs that name it."""
        return VersionState(
            is_whole=self.has_manifest,
            verdict=self.decision.verdict if self.decision else None,
            is_collected=self.collected is not None,
        )

    @property
    def is_readable(self) -> bool:
        """Whether its files should be there: it has a manifest and no tombstone."""
        return self.manifest is not None and self.collected is None


def about(read: VersionRead, *, grace: Retention, now: datetime) -> Iterator[Observation]:
    """Every observation about one version."""
    if not read.has_manifest:
        yield from _without_manifest(read, grace=grace, now=now)
        return
    if read.manifest is None:
        return
    if not keys.matches_fingerprint(read.version, read.manifest.fingerprint):
        key = keys.manifest(read.model, read.version)
        yield error(key, f"its fingerprint is now {read.manifest.fingerprint[:12]}…")
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
        # A decision requires a manifest, so it was lost since.
        yield error(key, "it has a decision but no manifest", is_missing=True)
    elif read.collected is not None or not read.files:
        return
    elif grace.may_finish(read.version, now):
        yield note(key, f"half-written, {len(read.files)} files so far: a run may be writing it")
    else:
        yield warning(
            key,
            f"half-written for more than {grace.grace_days:g} days: its run was killed",
            f"`overnight gc {read.model} --delete` deletes it",
        )


def _files(read: VersionRead, manifest: Manifest) -> Iterator[Observation]:
    may_be_gone = _collected(read, manifest)
    for name, expected in manifest.files.items():
        key = keys.version_file(read.model, read.version, name)
        actual = read.files.get(name)
        if actual is None and name not in may_be_gone:
            yield error(key, f"missing; expected {_format(expected)}", is_missing=True)
        elif actual is not None and actual != expected:
            yield error(key, f"expected {_format(expected)}, found {_format(actual)}", REPLACE)
    for name in sorted(read.files.keys() - manifest.files.keys()):
        key = keys.version_file(read.model, read.version, name)
        yield error(
            key,
            "added since the version was published: serving refuses it",
            INVESTIGATE,
        )


def _collected(read: VersionRead, manifest: Manifest) -> set[str]:
    """The files that retention may have deleted.

    Of a half-written version those are all files, even if its manifest was written at the same
    moment: publishing then failed, and nothing can serve it.
    """
    if read.collected is None:
        return set()
    if read.collected.was == "half-written":
        return set(manifest.files)
    return set(heavy(manifest.files))


def _format(entry: FileEntry) -> str:
    return f"sha256 {entry.sha256[:16]}… ({entry.size_bytes} bytes)"
