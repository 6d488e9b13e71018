"""Plans what retention may delete of a model, and why everything else stays; reads only."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from overnight.store.errors import BadKey, CorruptRecord
from overnight.store.maintenance.retention_policy import Retention, VersionUse, heavy, kept
from overnight.store.objects import keys, sequence_log
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER, CHAMPION
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import Trust

# A younger tombstone may belong to a garbage collection that is still running.
IN_PROGRESS = timedelta(hours=1)
_MANIFEST, _COLLECTED, _KEPT = "manifest.json", "collected.json", "kept.json"
_LOST = "it was published, and its manifest is lost: `overnight verify --repair`"
_NAMED = "an alias record names it that does not count: `overnight verify` says why"
_UNREAD = "its manifest cannot be read: `overnight verify`"


@dataclass(frozen=True)
class Deletion:
    """A version that may be deleted: the files to delete, with their sizes in bytes."""

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
    """What may be deleted of one model, why the rest stays, and the logs this is based on."""

    model: str
    leaving: tuple[Deletion, ...]
    staying: Mapping[str, str]
    logs: Mapping[str, Sequence[AliasRecord]]
    # Dataset versions on which the kept model versions were trained.
    snapshots: frozenset[int]
    unfinished: tuple[str, ...] = ()
    # Have a tombstone of a run that was killed before its last check, and still all their files.
    returning: tuple[str, ...] = ()
    # Their dataset versions are unknown, so the tables of the model must not be vacuumed.
    unread: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(deletion.size_bytes for deletion in self.leaving)

    def within(self, shown: Self) -> Self:
        """Restrict this plan to the deletions of an earlier plan, which a person has seen."""
        seen = {deletion.version for deletion in shown.leaving}
        return replace(
            self,
            leaving=tuple(deletion for deletion in self.leaving if deletion.version in seen),
        )


def survey(
    bucket: Bucket,
    model: str,
    retention: Retention,
    now: datetime,
    *,
    trust: Trust | None = None,
) -> RetentionPlan:
    """What retention would delete; changes nothing.

    Only alias records that a key of `trust` signed say what served; without it, all of them do.
    A version that another record names stays.

    Raises:
        CorruptRecord: a log or a tombstone cannot be read.
    """
    folders = _folders(bucket, model)
    published = [name for name, files in folders.items() if _MANIFEST in files]
    # An unreadable one must not block the deletion of other versions.
    manifests = ModelRegistry(bucket, model).readable_manifests(published)
    revoked = {version for version, files in folders.items() if _KEPT in files}
    # A version with a tombstone does not count among the newest.
    whole = [v for v in manifests if _COLLECTED not in folders[v] or v in revoked]
    uses = [_use_of(bucket, manifests[version]) for version in whole]
    logs = _logs(bucket, model, trust)
    half_written = set(folders) - set(published)
    referenced = _referenced(bucket, model, manifests.values(), logs)
    # Only published versions are decided about or referred to: these have lost their manifest.
    lost = {v for v in half_written if "decision.json" in folders[v] or v in referenced}
    unread = dict.fromkeys(sorted(set(published) - manifests.keys()), _UNREAD)
    staying = (
        dict.fromkeys(sorted(revoked), "it was in use when it was about to be deleted")
        | kept(uses, logs, retention, now)
        | dict.fromkeys(sorted(_named_elsewhere(bucket, model, logs) & manifests.keys()), _NAMED)
        | dict.fromkeys(sorted(lost), _LOST)
        | unread
    )
    under_way = {v for v in half_written - lost if retention.may_finish(v, now)}
    leaving = [
        _leaving(model, version, folders[version], retention)
        for version in sorted(folders.keys() - staying.keys() - under_way)
    ]
    return RetentionPlan(
        model,
        leaving=tuple(deletion for deletion in leaving if deletion.files),
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


def _named_elsewhere(
    bucket: Bucket, model: str, logs: Mapping[str, Sequence[AliasRecord]]
) -> set[str]:
    """The versions that records name which do not count: beyond a gap, say, or not signed."""
    named: set[str] = set()
    for alias, counted in logs.items():
        log, known = AliasLog(bucket, model, alias), {record.sequence for record in counted}
        for sequence in sequence_log.named(bucket, keys.alias(model, alias)):
            record = None if sequence in known else log.at(sequence)
            named |= {record.version} if record else set()
    return named


def _logs(bucket: Bucket, model: str, trust: Trust | None) -> dict[str, list[AliasRecord]]:
    """The log of every alias.

    The two known aliases are read even if they are not listed: a listing may be stale.
    """
    listed = bucket.names_below(f"models/{keys.check_model(model)}/aliases")
    # A foreign name can be no alias of ours: nothing could be written below it.
    aliases = sorted({CHAMPION, CHALLENGER, *filter(keys.is_segment, listed)})
    return {alias: AliasLog(bucket, model, alias, trust=trust).history() for alias in aliases}


def _folders(bucket: Bucket, model: str) -> dict[str, dict[str, int]]:
    """The files of every version, complete or not: sizes by name."""
    prefix = keys.versions(model)
    folders: dict[str, dict[str, int]] = {}
    for key, size in bucket.sizes_below(prefix).items():
        version, _, name = key[len(prefix) + 1 :].partition("/")
        if keys.is_version(version) and name:
            folders.setdefault(version, {})[name] = size
    return folders


def _referenced(
    bucket: Bucket,
    model: str,
    manifests: Collection[Manifest],
    logs: Mapping[str, Sequence[AliasRecord]],
) -> set[str | None]:
    """The versions that alias records, scores and other manifests name."""
    return {
        *(record.version for log in logs.values() for record in log),
        *(manifest.compared_with for manifest in manifests),
        *(manifest.training.continued_from for manifest in manifests),
        *bucket.names_below(keys.scores(model)),
    }


def _is_old(bucket: Bucket, model: str, version: str, now: datetime) -> bool:
    """Whether a version has the tombstone of a run that must have been killed."""
    tombstone = ModelRegistry(bucket, model).tombstones.find(version)
    return tombstone is not None and tombstone.at < now - IN_PROGRESS


def _use_of(bucket: Bucket, manifest: Manifest) -> VersionUse:
    try:
        decision = ModelRegistry(bucket, manifest.model).decisions.find(manifest.version)
    except CorruptRecord:
        # It may have been approved, so it is kept like a version without a decision.
        decision = None
    return VersionUse(
        manifest.version,
        verdict=decision.verdict if decision else None,
        compared_with=manifest.compared_with,
        continued_from=manifest.training.continued_from,
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
