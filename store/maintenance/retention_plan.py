"""Surveying: what of a model may go, why everything else stays; asks, and changes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from overnight.store.errors import BadKey, CorruptRecord, CorruptVersion, UnknownVersion
from overnight.store.maintenance.retention_policy import Retention, VersionUse, heavy, kept
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import CHALLENGER, CHAMPION, AliasLog, AliasRecord
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.registry import ModelRegistry

# A word younger than this may be that of somebody who collects at this moment.
UNDER_WAY = timedelta(hours=1)
_MANIFEST, _COLLECTED, _KEPT = "manifest.json", "collected.json", "kept.json"
_LOST = "it was published, and its manifest is lost: `overnight verify --repair`"
_UNREAD = "its manifest cannot be read: `overnight verify`"


@dataclass(frozen=True)
class Deletion:
    """A version that may go: its files that go, with their sizes in bytes."""

    model: str
    version: str
    files: Mapping[str, int]
    published: bool
    reason: str

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())


@dataclass(frozen=True)
class RetentionPlan:
    """What may go of one model, why everything else stays, and the logs that were judged."""

    model: str
    leaving: tuple[Deletion, ...]
    staying: Mapping[str, str]
    logs: Mapping[str, Sequence[AliasRecord]]
    # The versions of the dataset that versions which stay were made from.
    snapshots: frozenset[int]
    unfinished: tuple[str, ...] = ()
    # Said to be collected by a run that died before it looked who wants them; still whole.
    returning: tuple[str, ...] = ()
    # What these were made from is not known, so the tables of the model are left alone.
    unread: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(one.size_bytes for one in self.leaving)

    def within(self, shown: Self) -> Self:
        """The same plan, less what an earlier one that somebody saw does not let go of."""
        seen = {one.version for one in shown.leaving}
        return replace(self, leaving=tuple(one for one in self.leaving if one.version in seen))


def survey(bucket: Bucket, model: str, retention: Retention, now: datetime) -> RetentionPlan:
    """What retention would let go of; changes nothing.

    Raises:
        CorruptRecord: a log, or a word that a version was collected, cannot be read.
    """
    folders = _folders(bucket, model)
    published = [name for name, files in folders.items() if _MANIFEST in files]
    manifests = _manifests(bucket, model, published)
    wanted = {version for version, files in folders.items() if _KEPT in files}
    whole = [v for v in manifests if _COLLECTED not in folders[v] or v in wanted]
    standings = [_standing(bucket, manifests[version]) for version in whole]
    logs = _logs(bucket, model)
    halves = set(folders) - set(published)
    spoken_of = _spoken_of(bucket, model, manifests.values(), logs)
    lost = {v for v in halves if "decision.json" in folders[v] or v in spoken_of}
    unread = dict.fromkeys(sorted(set(published) - manifests.keys()), _UNREAD)
    told = dict.fromkeys(sorted(wanted), "somebody wanted it as it was about to go")
    staying = (
        told | kept(standings, logs, retention, now) | dict.fromkeys(sorted(lost), _LOST) | unread
    )
    under_way = {version for version in halves - lost if retention.may_finish(version, now)}
    leaving = [
        _leaving(model, version, folders[version], retention)
        for version in sorted(folders.keys() - staying.keys() - under_way)
    ]
    return RetentionPlan(
        model,
        leaving=tuple(one for one in leaving if one.files),
        staying=staying,
        logs=logs,
        snapshots=frozenset(
            manifests[version].data.dataset_version for version in staying if version in manifests
        ),
        unfinished=tuple(sorted(under_way)),
        returning=tuple(
            version
            for version in sorted(staying.keys() & manifests.keys() - {*whole})
            if manifests[version].files.keys() <= folders[version].keys()
            and _is_old(bucket, model, version, now)
        ),
        unread=tuple(sorted(lost | unread.keys())),
    )


def _logs(bucket: Bucket, model: str) -> dict[str, list[AliasRecord]]:
    """Every alias's log.

    Asked for by name as well: a listing may be stale, and the first record still to come.
    """
    listed = bucket.names_below(f"models/{keys.check_model(model)}/aliases")
    aliases = sorted({CHAMPION, CHALLENGER, *listed})
    return {alias: AliasLog(bucket, model, alias).history() for alias in aliases}


def _folders(bucket: Bucket, model: str) -> dict[str, dict[str, int]]:
    """The files of every version by their names below it, with their sizes; whole or not."""
    prefix = keys.versions(model)
    found: dict[str, dict[str, int]] = {}
    for key, size in bucket.sizes_below(prefix).items():
        version, _, name = key[len(prefix) + 1 :].partition("/")
        if keys.is_version(version) and name:
            found.setdefault(version, {})[name] = size
    return found


def _manifests(bucket: Bucket, model: str, published: Sequence[str]) -> dict[str, Manifest]:
    """Those that can be read; one that cannot is no reason to keep everything else."""
    found = {}
    for version in published:
        with suppress(CorruptVersion, UnknownVersion):
            found[version] = ModelRegistry(bucket, model).manifest(version)
    return found


def _spoken_of(
    bucket: Bucket,
    model: str,
    made: Iterable[Manifest],
    logs: Mapping[str, Sequence[AliasRecord]],
) -> set[str | None]:
    """What records, scores and other versions name: only what was published ever is."""
    return {
        *(record.version for log in logs.values() for record in log),
        *(name for one in made for name in (one.compared_with, one.training.continued_from)),
        *bucket.names_below(keys.scores(model)),
    }


def _is_old(bucket: Bucket, model: str, version: str, now: datetime) -> bool:
    """Whether the word about a version is that of a run that must have died."""
    word = ModelRegistry(bucket, model).tombstone(version)
    return word is not None and word.at < now - UNDER_WAY


def _standing(bucket: Bucket, made: Manifest) -> VersionUse:
    try:
        decision = ModelRegistry(bucket, made.model).decision(made.version)
    except CorruptRecord:
        # Nobody can tell what was decided, so it stays as one that waits.
        decision = None
    return VersionUse(
        made.version,
        verdict=decision.verdict if decision else None,
        compared_with=made.compared_with,
        continued_from=made.training.continued_from,
    )


def _leaving(model: str, version: str, folder: Mapping[str, int], retention: Retention) -> Deletion:
    published = _MANIFEST in folder
    names = [
        name
        for name in (heavy(folder) if published else sorted(folder))
        if _is_discardable(model, version, name)
    ]
    reason = (
        f"no rule keeps it: keep {retention.keep}, {retention.days:g} days"
        if published
        else f"half-written for more than {retention.grace_days:g} days"
    )
    return Deletion(model, version, {name: folder[name] for name in names}, published, reason)


def _is_discardable(model: str, version: str, name: str) -> bool:
    try:
        keys.check_discardable(keys.version_file(model, version, name))
    except BadKey:
        return False
    return True
