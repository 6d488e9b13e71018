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
    house: AuditContext,
    model: str | None = None,
    *,
    retention: Retention | None = None,
    told: Callable[[int, int], None] = lambda _done, _all: None,
) -> Audit:
    """Read everything, or everything of one model; `told` of bytes read, of so many.

    Raises:
        UnknownModel: the bucket has nothing of this name.
        StoreUnavailable, StoreDenied: it cannot be read at all.
    """
    found = items(house.bucket.sizes_below(""))
    known = models(found)
    if model is not None and model not in known:
        raise UnknownModel(model, tuple(known))
    found = [item for item in found if model in {None, item.model}]
    now = datetime.now(UTC)
    reads = _read_all(house.bucket, found, told)
    seen = [*audit_rules.strays(found), *(one.trouble for one in reads if one.trouble)]
    for one in reads:
        if one.record is not None:
            seen += audit_rules.misplaced(one.item, one.record)
    for kind in _NUMBERED:
        seen += audit_rules.gaps(item for item in found if item.kind is kind)
    seen += audit_pending(house.bucket, house.table, _arrivals(reads), {item.key for item in found})
    whole = _versions(house, reads)
    for read in whole.values():
        seen += version_rules.about(read, grace=retention or Retention(), now=now)
    seen += _logs(reads, whole)
    seen += (
        note(one.item.key, _WAITING[one.item.kind]) for one in reads if one.item.kind in _WAITING
    )
    for name in [model] if model else known:
        recorded = {
            read.version: read.manifest.data
            for read in whole.values()
            if read.model == name and read.manifest and read.is_readable
        }
        seen += audit_tables(house.bucket, house.table, name, recorded)
    tallies = {
        name: Counter(str(item.kind) for item in found if item.model == name)
        for name in ([model] if model else known)
    }
    return Audit(tuple(seen), tallies, signatures_looked_at=house.trust is not None)


def _read_all(
    bucket: Bucket, found: Sequence[Item], told: Callable[[int, int], None]
) -> list[_Read]:
    """Every record and every file of a version; tables are read as tables."""
    wanted = [
        item for item in found if item.kind in _RECORDS or item.kind in {Kind.FILE, Kind.MANIFEST}
    ]
    done, total, reads = 0, sum(item.size_bytes for item in wanted), []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one in pool.map(lambda item: _read(bucket, item), wanted):
            done += one.item.size_bytes if one else 0
            told(done, total)
            if one is not None:
                reads.append(one)
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
    for one in reads:
        if isinstance(arrival := one.record, Arrival):
            with suppress(BadKey):
                if one.item.key == f"{arrival.prefix}/arrival.json":
                    yield arrival


def _versions(house: AuditContext, reads: Iterable[_Read]) -> dict[tuple[str, str], VersionRead]:
    """Every version with all that was read of it, by model and name."""
    of_versions = [one for one in reads if one.item.version and one.item.kind is not Kind.SCORE]
    of_versions.sort(key=lambda one: (one.item.model, one.item.version))
    found = {}
    for (model, version), group in groupby(of_versions, lambda r: (r.item.model, r.item.version)):
        parts = list(group)
        records = {one.item.kind: one.record for one in parts}
        manifest, decision = records.get(Kind.MANIFEST), records.get(Kind.DECISION)
        collected = None if Kind.KEPT in records else records.get(Kind.COLLECTED)
        read = VersionRead(
            model,
            version,
            manifest=manifest if isinstance(manifest, Manifest) else None,
            has_manifest=Kind.MANIFEST in records,
            decision=decision if isinstance(decision, Decision) else None,
            collected=collected if isinstance(collected, Tombstone) else None,
            files={one.item.names["name"]: one.entry for one in parts if one.entry},
            distrusted=_distrust(house, model, version) if manifest else "",
        )
        if read.manifest and read.manifest.files.keys() - read.files.keys() and not collected:
            # Whoever collects may have begun after everything was listed.
            read = replace(read, collected=_just_collected(house.bucket, model, version))
        found[model, version] = read
    return found


def _just_collected(bucket: Bucket, model: str, version: str) -> Tombstone | None:
    try:
        return ModelRegistry(bucket, model).collected(version)
    except CorruptRecord:
        # Told by its key already, or as soon as somebody verifies again.
        return None


def _distrust(house: AuditContext, model: str, version: str) -> str:
    if house.trust is None:
        return ""
    try:
        ModelRegistry(house.bucket, model, house.trust).trusted(version)
    except UntrustedVersion as reason:
        return str(reason)
    return ""


def _logs(
    reads: Sequence[_Read], whole: Mapping[tuple[str, str], VersionRead]
) -> Iterator[Observation]:
    """What alias logs and the words about them say, held against the versions they name."""
    records = {
        (record.model, record.alias, record.sequence): record
        for one in reads
        if isinstance(record := one.record, AliasRecord)
    }
    in_order = [records[place] for place in sorted(records)]
    for (model, _), log in groupby(in_order, lambda record: (record.model, record.alias)):
        known = {version: read.known for (of, version), read in whole.items() if of == model}
        yield from audit_rules.alias_log(list(log), known)
    said = [
        (one.item, record.version)
        for one in reads
        if isinstance(record := one.record, Acknowledgement | Withdrawal)
    ]
    yield from audit_rules.words(said, records)
    for one in reads:
        if isinstance(one.record, Score) and (one.item.model, one.item.version) not in whole:
            yield error(one.item.key, f"a score of {one.item.version}, which does not exist")
