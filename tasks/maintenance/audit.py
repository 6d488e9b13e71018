"""Verify: read everything in the bucket, and tell what of it is not as it has to be."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby

from pydantic import BaseModel, ValidationError

from overnight.models.errors import UnknownModel
from overnight.store.datasets.arrival_reviews import ArrivalReview, PendingReview
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Quarantined
from overnight.store.errors import BadKey, CorruptRecord, CorruptVersion, NotFound, UntrustedVersion
from overnight.store.maintenance import audit_rules, version_rules
from overnight.store.maintenance.audit_rules import Audit, Observation, error, note
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.maintenance.version_rules import VersionRead
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.key_parser import Item, Kind, items, models
from overnight.store.registry import versions
from overnight.store.registry.aliases import Acknowledgement, AliasRecord
from overnight.store.registry.challenges import Withdrawal
from overnight.store.registry.decisions import Decision
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import FileEntry, Manifest
from overnight.store.registry.refusals import Refusal
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tombstones import Tombstone, TombstoneRevoked
from overnight.store.registry.tuned_settings import TunedSettings
from overnight.store.trust.trusted_keys import Trust
from overnight.tasks.maintenance.audit_arrivals import audit_pending
from overnight.tasks.maintenance.audit_tables import audit_tables

_AT_ONCE = 8
_RECORDS: Mapping[Kind, type[BaseModel]] = {
    Kind.DECISION: Decision,
    Kind.COLLECTED: Tombstone,
    Kind.KEPT: TombstoneRevoked,
    Kind.RECORD: AliasRecord,
    Kind.WORD: Acknowledgement,
    Kind.WITHDRAWAL: Withdrawal,
    Kind.REFUSAL: Refusal,
    Kind.TUNED: TunedSettings,
    Kind.SCORE: Score,
    Kind.HELD: PendingReview,
    Kind.ARRIVAL_WORD: ArrivalReview,
    Kind.ARRIVAL: Arrival,
    Kind.REASON: Quarantined,
}
_NUMBERED = (Kind.RECORD, Kind.TUNED, Kind.ARRIVAL_WORD)
_WAITING = {Kind.ARRIVAL: "arrived and waits to be taken in", Kind.REASON: "in quarantine"}


@dataclass(frozen=True)
class AuditContext:
    """What is asked: the bucket, the tables of a model by name, and whose versions are trusted.

    Without `trust` signatures are not looked at.
    """

    bucket: Bucket
    table: Callable[[str, str], Dataset]
    trust: Trust | None


@dataclass(frozen=True)
class _Read:
    """What lies under one key: a record, a file's size and digest, or neither, and why."""

    item: Item
    record: BaseModel | None = None
    entry: FileEntry | None = None
    trouble: Observation | None = None


def verify(
    context: AuditContext,
    model: str | None = None,
    *,
    retention: Retention | None = None,
    report: Callable[[int, int], None] = lambda _done, _all: None,
) -> Audit:
    """Read everything, or everything of one model; `told` of bytes read, of so many.

    Raises:
        UnknownModel: the bucket has nothing of this name.
        StoreUnavailable, StoreDenied: it cannot be read at all.
    """
    listed = items(context.bucket.sizes_below(""))
    known = models(listed)
    if model is not None and model not in known:
        raise UnknownModel(model, tuple(known))
    listed = [item for item in listed if model in {None, item.model}]
    now = datetime.now(UTC)
    reads = _read_all(context.bucket, listed, report)
    observations = [*audit_rules.strays(listed), *(read.trouble for read in reads if read.trouble)]
    for read in reads:
        if read.record is not None:
            observations += audit_rules.misplaced(read.item, read.record)
    for kind in _NUMBERED:
        observations += audit_rules.gaps(item for item in listed if item.kind is kind)
    observations += audit_pending(
        context.bucket, context.table, _arrivals(reads), {item.key for item in listed}
    )
    whole = _versions(context, reads)
    for version in whole.values():
        observations += version_rules.about(version, grace=retention or Retention(), now=now)
    observations += _logs(reads, whole)
    observations += (
        note(read.item.key, _WAITING[read.item.kind])
        for read in reads
        if read.item.kind in _WAITING
    )
    for name in [model] if model else known:
        recorded = {
            version.version: version.manifest.data
            for version in whole.values()
            if version.model == name and version.manifest and version.is_readable
        }
        observations += audit_tables(context.bucket, context.table, name, recorded)
    tallies = {
        name: Counter(str(item.kind) for item in listed if item.model == name)
        for name in ([model] if model else known)
    }
    return Audit(tuple(observations), tallies, signatures_looked_at=context.trust is not None)


def _read_all(
    bucket: Bucket, listed: Sequence[Item], report: Callable[[int, int], None]
) -> list[_Read]:
    """Every record and every file of a version; tables are read as tables."""
    wanted = [
        item for item in listed if item.kind in _RECORDS or item.kind in {Kind.FILE, Kind.MANIFEST}
    ]
    done, total, reads = 0, sum(item.size_bytes for item in wanted), []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for read in pool.map(lambda item: _read(bucket, item), wanted):
            done += read.item.size_bytes if read else 0
            report(done, total)
            if read is not None:
                reads.append(read)
    return reads


def _read(bucket: Bucket, item: Item) -> _Read | None:
    """What lies under a key; None when it is gone by now, as arrivals that were taken in are."""
    try:
        body = bucket.read(item.key)
    except NotFound:
        return None
    except BadKey as reason:
        return _Read(item, trouble=audit_rules.warning(item.key, str(reason), audit_rules.LOOK))
    try:
        if item.kind is Kind.MANIFEST:
            return _Read(item, versions.decode_for(item.model, item.version, body))
        if item.kind is Kind.FILE:
            return _Read(item, entry=FileEntry(size_bytes=len(body), sha256=digest(body)))
        return _Read(item, _RECORDS[item.kind].model_validate_json(body))
    except (ValidationError, CorruptVersion) as reason:
        why = str(reason).splitlines()[0]
        return _Read(item, trouble=error(item.key, f"it cannot be read: {why}"))


def _arrivals(reads: Iterable[_Read]) -> Iterator[Arrival]:
    """Those that lie where they say: no other key is formed of what a record says."""
    for read in reads:
        if isinstance(arrival := read.record, Arrival):
            with suppress(BadKey):
                if read.item.key == f"{arrival.prefix}/arrival.json":
                    yield arrival


def _versions(context: AuditContext, reads: Iterable[_Read]) -> dict[tuple[str, str], VersionRead]:
    """Every version with all that was read of it, by model and name."""
    of_versions = [read for read in reads if read.item.version and read.item.kind is not Kind.SCORE]
    of_versions.sort(key=lambda read: (read.item.model, read.item.version))
    whole = {}
    for (model, version), group in groupby(of_versions, lambda r: (r.item.model, r.item.version)):
        parts = list(group)
        records = {read.item.kind: read.record for read in parts}
        manifest, decision = records.get(Kind.MANIFEST), records.get(Kind.DECISION)
        collected = None if Kind.KEPT in records else records.get(Kind.COLLECTED)
        version_read = VersionRead(
            model,
            version,
            manifest=manifest if isinstance(manifest, Manifest) else None,
            has_manifest=Kind.MANIFEST in records,
            decision=decision if isinstance(decision, Decision) else None,
            collected=collected if isinstance(collected, Tombstone) else None,
            files={read.item.names["name"]: read.entry for read in parts if read.entry},
            distrusted=_distrust(context, model, version) if manifest else "",
        )
        listed = version_read.manifest.files if version_read.manifest else {}
        if listed.keys() - version_read.files.keys() and not collected:
            # A garbage collection may have begun after the bucket was listed.
            tombstone = _just_collected(context.bucket, model, version)
            version_read = replace(version_read, collected=tombstone)
        whole[model, version] = version_read
    return whole


def _just_collected(bucket: Bucket, model: str, version: str) -> Tombstone | None:
    try:
        return ModelRegistry(bucket, model).collected(version)
    except CorruptRecord:
        # Told by its key already, or as soon as somebody verifies again.
        return None


def _distrust(context: AuditContext, model: str, version: str) -> str:
    if context.trust is None:
        return ""
    try:
        ModelRegistry(context.bucket, model, context.trust).trusted(version)
    except UntrustedVersion as reason:
        return str(reason)
    return ""


def _logs(
    reads: Sequence[_Read], whole: Mapping[tuple[str, str], VersionRead]
) -> Iterator[Observation]:
    """What alias logs and the words about them say, held against the versions they name."""
    records = {
        (record.model, record.alias, record.sequence): record
        for read in reads
        if isinstance(record := read.record, AliasRecord)
    }
    in_order = [records[place] for place in sorted(records)]
    for (model, _), log in groupby(in_order, lambda record: (record.model, record.alias)):
        known = {name: version.known for (of, name), version in whole.items() if of == model}
        yield from audit_rules.alias_log(list(log), known)
    statements = [
        (read.item, record.version)
        for read in reads
        if isinstance(record := read.record, Acknowledgement | Withdrawal)
    ]
    yield from audit_rules.words(statements, records)
    for read in reads:
        if isinstance(read.record, Score) and (read.item.model, read.item.version) not in whole:
            yield error(read.item.key, f"a score of {read.item.version}, which does not exist")
