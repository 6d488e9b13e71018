"""The audit of `overnight verify`: reads every object of the bucket and reports what is wrong."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby

from pydantic import BaseModel, ValidationError

from overnight.models.errors import UnknownModel
from overnight.store.datasets.arrival_reviews import ArrivalReview, PendingReview
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Landing, Quarantined
from overnight.store.errors import (
    BadKey,
    CorruptRecord,
    CorruptTable,
    CorruptVersion,
    NotFound,
    TooLarge,
    UntrustedVersion,
)
from overnight.store.maintenance import audit_rules, version_rules
from overnight.store.maintenance.audit_rules import Audit, Observation, error, note
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.maintenance.version_rules import VersionRead
from overnight.store.objects import size_limits
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.key_parser import Item, Kind, items, models
from overnight.store.registry import versions
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenges import Withdrawal
from overnight.store.registry.decision import Decision
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import FileEntry, Manifest
from overnight.store.registry.monitoring import CarriedOut, MonitorRecord
from overnight.store.registry.refusals import Refusal
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.runs import RunRecord
from overnight.store.registry.tombstones import Tombstone, TombstoneRevoked
from overnight.store.registry.tuned_settings import TunedSettings
from overnight.store.trust.trusted_keys import Trust
from overnight.tasks.maintenance.audit_records import (
    audit_decision,
    audit_log,
    audit_withdrawals,
)
from overnight.tasks.maintenance.audit_tables import audit_tables

# Reads wait for the network, and a file of a version may be tens of megabytes in memory.
_THREADS = 8
_RECORDS: Mapping[Kind, type[BaseModel]] = {
    Kind.DECISION: Decision,
    Kind.TOMBSTONE: Tombstone,
    Kind.TOMBSTONE_REVOKED: TombstoneRevoked,
    Kind.ALIAS_RECORD: AliasRecord,
    Kind.ACKNOWLEDGEMENT: Acknowledgement,
    Kind.WITHDRAWAL: Withdrawal,
    Kind.REFUSAL: Refusal,
    Kind.TUNED_SETTINGS: TunedSettings,
    Kind.SCORE: Score,
    Kind.MONITOR_RECORD: MonitorRecord,
    Kind.CARRIED_OUT: CarriedOut,
    Kind.RUN_RECORD: RunRecord,
    Kind.PENDING_REVIEW: PendingReview,
    Kind.ARRIVAL_REVIEW: ArrivalReview,
    Kind.ARRIVAL: Arrival,
    Kind.REASON: Quarantined,
}
_LIMITS: Mapping[Kind, int] = {
    Kind.FILE: size_limits.VERSION_FILE_BYTES,
    Kind.MANIFEST: size_limits.MANIFEST_BYTES,
    Kind.ARRIVAL: size_limits.ARRIVAL_BYTES,
}
_NUMBERED = (Kind.ALIAS_RECORD, Kind.TUNED_SETTINGS, Kind.ARRIVAL_REVIEW, Kind.MONITOR_RECORD)
_PENDING_NOTES = {Kind.ARRIVAL: "landed and not ingested yet", Kind.REASON: "in quarantine"}
_LOST = "this file was delivered with an arrival that is not ingested yet, and is missing"
_OTHER = "this file of an arrival that is not ingested yet has other bytes than were delivered"


@dataclass(frozen=True)
class AuditContext:
    """What is audited: the bucket, the tables of each model, and the keys that are trusted.

    `table` opens a table by model and name. Without `trust`, signatures are not verified.
    """

    bucket: Bucket
    table: Callable[[str, str], Dataset]
    trust: Trust | None


@dataclass(frozen=True)
class _StoredObject:
    """The content of one key: a record, a file's size and digest, or why it cannot be read."""

    item: Item
    record: BaseModel | None = None
    entry: FileEntry | None = None
    problem: Observation | None = None


def verify(
    context: AuditContext,
    model: str | None = None,
    *,
    retention: Retention | None = None,
    report: Callable[[int, int], None] = lambda _done, _all: None,
) -> Audit:
    """Audit the bucket, or one model; `report` gets the bytes read so far and the bytes in all.

    Raises:
        UnknownModel: the bucket holds nothing of this model.
        StoreUnavailable, StoreDenied: the bucket cannot be read.
    """
    listed = items(context.bucket.sizes_below(""))
    known = models(listed)
    if model is not None and model not in known:
        raise UnknownModel(model, tuple(known))
    # After `models`, which names the known ones in the error.
    listed = [item for item in listed if model in {None, item.model}]
    now = datetime.now(UTC)
    objects = _read_objects(context.bucket, listed, report)
    observations = [
        *audit_rules.strays(listed),
        *(stored.problem for stored in objects if stored.problem),
    ]
    for stored in objects:
        if stored.record is not None:
            observations += audit_rules.misplaced(stored.item, stored.record)
    for kind in _NUMBERED:
        observations += audit_rules.gaps(item for item in listed if item.kind is kind)
    observations += _audit_arrivals(context, _arrivals(objects), {item.key for item in listed})
    read_versions = _versions(context, objects)
    for read_version in read_versions.values():
        observations += version_rules.about(read_version, grace=retention or Retention(), now=now)
    counted, uncounted = _audit_signatures(context, listed, read_versions)
    known_problems = {stored.item.key for stored in objects if stored.problem}
    observations += (each for each in uncounted if each.key not in known_problems)
    observations += _audit_logs(objects, read_versions, counted)
    observations += (
        note(stored.item.key, _PENDING_NOTES[stored.item.kind])
        for stored in objects
        if stored.item.kind in _PENDING_NOTES
    )
    for name in [model] if model else known:
        recorded = {
            read_version.version: read_version.manifest.data
            for read_version in read_versions.values()
            if read_version.model == name and read_version.manifest and read_version.is_readable
        }
        observations += audit_tables(context.bucket, context.table, name, recorded)
    tallies = {
        name: Counter(str(item.kind) for item in listed if item.model == name)
        for name in ([model] if model else known)
    }
    return Audit(tuple(observations), tallies, signatures_checked=context.trust is not None)


def _read_objects(
    bucket: Bucket, listed: Sequence[Item], report: Callable[[int, int], None]
) -> list[_StoredObject]:
    """Read every record and every file of a version; `audit_tables` reads the tables."""
    wanted = [
        item for item in listed if item.kind in _RECORDS or item.kind in {Kind.FILE, Kind.MANIFEST}
    ]
    done, total, objects = 0, sum(item.size_bytes for item in wanted), []
    with ThreadPoolExecutor(_THREADS) as pool:
        for stored in pool.map(lambda item: _read(bucket, item), wanted):
            done += stored.item.size_bytes if stored else 0
            report(done, total)
            if stored is not None:
                objects.append(stored)
    return objects


def _read(bucket: Bucket, item: Item) -> _StoredObject | None:
    """Read one key; None if it is gone since it was listed, as an ingested arrival is."""
    try:
        body = bucket.read(item.key, _LIMITS.get(item.kind, size_limits.RECORD_BYTES))
    except NotFound:
        return None
    except (TooLarge, BadKey) as reason:
        severity = error if isinstance(reason, TooLarge) else audit_rules.warning
        problem = severity(item.key, str(reason), audit_rules.INVESTIGATE)
        return _StoredObject(item, problem=problem)
    try:
        if item.kind is Kind.MANIFEST:
            return _StoredObject(item, versions.decode_for(item.model, item.version, body))
        if item.kind is Kind.FILE:
            return _StoredObject(item, entry=FileEntry(size_bytes=len(body), sha256=digest(body)))
        return _StoredObject(item, _RECORDS[item.kind].model_validate_json(body))
    except (ValidationError, CorruptVersion) as reason:
        why = str(reason).splitlines()[0]
        return _StoredObject(item, problem=error(item.key, f"it cannot be read: {why}"))


def _arrivals(objects: Iterable[_StoredObject]) -> Iterator[Arrival]:
    """The arrivals whose record lies under its own key: others could name keys of anybody."""
    for stored in objects:
        if isinstance(arrival := stored.record, Arrival):
            with suppress(BadKey):
                if stored.item.key == f"{arrival.prefix}/arrival.json":
                    yield arrival


def _audit_arrivals(
    context: AuditContext, arrivals: Iterable[Arrival], present: Collection[str]
) -> Iterator[Observation]:
    """Read every file of some arrivals; `present` are the keys of the bucket.

    Missing files of an ingested arrival are no damage: ingest clears them away.
    """
    for arrival in arrivals:
        damaged = _damaged_files(context.bucket, arrival)
        # Read after the files: ingest commits an arrival before it clears its files.
        if not damaged or arrival.name in _ingested(context.table(arrival.model, "rows")):
            continue
        for key in map(arrival.key, damaged):
            if key in present:
                yield error(key, _OTHER, audit_rules.REPLACE)
            else:
                yield error(key, _LOST, is_missing=True)


def _damaged_files(bucket: Bucket, arrival: Arrival) -> list[str]:
    """The files whose bytes are not those delivered; at most `_THREADS` are in memory."""

    def is_intact(file: str) -> bool:
        return Landing(bucket, arrival.model).read_file(arrival, file) is not None

    with ThreadPoolExecutor(_THREADS) as pool:
        intact = pool.map(is_intact, arrival.files)
        return [file for file, good in zip(arrival.files, intact, strict=True) if not good]


def _ingested(table: Dataset) -> Collection[str]:
    try:
        return table.arrival_names()
    except (NotFound, CorruptTable):
        # The audit of tables reports it.
        return ()


def _versions(
    context: AuditContext, objects: Iterable[_StoredObject]
) -> dict[tuple[str, str], VersionRead]:
    """The versions with all that was read of each, by model and version."""
    of_versions = [
        stored for stored in objects if stored.item.version and stored.item.kind is not Kind.SCORE
    ]
    of_versions.sort(key=lambda stored: (stored.item.model, stored.item.version))
    read_versions = {}
    for (model, version), group in groupby(of_versions, lambda r: (r.item.model, r.item.version)):
        parts = list(group)
        records = {stored.item.kind: stored.record for stored in parts}
        manifest, decision = records.get(Kind.MANIFEST), records.get(Kind.DECISION)
        collected = None if Kind.TOMBSTONE_REVOKED in records else records.get(Kind.TOMBSTONE)
        read_version = VersionRead(
            model,
            version,
            manifest=manifest if isinstance(manifest, Manifest) else None,
            has_manifest=Kind.MANIFEST in records,
            decision=decision if isinstance(decision, Decision) else None,
            collected=collected if isinstance(collected, Tombstone) else None,
            files={stored.item.names["name"]: stored.entry for stored in parts if stored.entry},
            distrusted=_untrusted_reason(context, model, version) if manifest else "",
        )
        listed = read_version.manifest.files if read_version.manifest else {}
        if listed.keys() - read_version.files.keys() and not collected:
            # A garbage collection may have begun after the bucket was listed.
            tombstone = _current_tombstone(context.bucket, model, version)
            read_version = replace(read_version, collected=tombstone)
        read_versions[model, version] = read_version
    return read_versions


def _current_tombstone(bucket: Bucket, model: str, version: str) -> Tombstone | None:
    try:
        return ModelRegistry(bucket, model).tombstones.find(version)
    except CorruptRecord:
        # Reported by its own key already, or by the next audit if it was just written.
        return None


def _untrusted_reason(context: AuditContext, model: str, version: str) -> str:
    if context.trust is None:
        return ""
    try:
        ModelRegistry(context.bucket, model, context.trust).trusted(version)
    except UntrustedVersion as reason:
        return str(reason)
    return ""


def _audit_signatures(
    context: AuditContext,
    listed: Iterable[Item],
    read_versions: Mapping[tuple[str, str], VersionRead],
) -> tuple[set[tuple[str, str, int]], list[Observation]]:
    """The alias records that count, and what is wrong with others and with decisions."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for item in listed:
        if item.kind is Kind.ALIAS_RECORD:
            numbers.setdefault((item.model, item.names["alias"]), []).append(item.sequence)
    counted: set[tuple[str, str, int]] = set()
    observations: list[Observation] = []
    for (model, alias), sequences in numbers.items():
        log = AliasLog(context.bucket, model, alias, trust=context.trust)
        own, uncounted = audit_log(log, sequences, trusted=context.trust is not None)
        counted |= {(model, alias, sequence) for sequence in own}
        observations += uncounted
        if context.trust is not None and alias == CHALLENGER:
            observations += audit_withdrawals(context.bucket, log.history(), context.trust)
    for version in read_versions.values():
        if context.trust is not None and version.manifest is not None and not version.distrusted:
            verdict = version.decision.verdict if version.decision else None
            observations += audit_decision(context.bucket, version.manifest, verdict, context.trust)
    return counted, observations


def _audit_logs(
    objects: Sequence[_StoredObject],
    read_versions: Mapping[tuple[str, str], VersionRead],
    counted: Collection[tuple[str, str, int]],
) -> Iterator[Observation]:
    """Check alias logs, acknowledgements, withdrawals and scores against the versions they name.

    Of alias records, only those that are `counted` say what served.
    """
    records = {
        (record.model, record.alias, record.sequence): record
        for stored in objects
        if isinstance(record := stored.record, AliasRecord)
    }
    # groupby needs the records of a log next to each other and in sequence.
    in_order = [records[position] for position in sorted(records) if position in counted]
    for (model, _), log in groupby(in_order, lambda record: (record.model, record.alias)):
        known = {
            name: version.known for (of, name), version in read_versions.items() if of == model
        }
        yield from audit_rules.alias_log(list(log), known)
    statements = [
        (stored.item, record.version)
        for stored in objects
        if isinstance(record := stored.record, Acknowledgement | Withdrawal)
    ]
    yield from audit_rules.acknowledgements(statements, records)
    for stored in objects:
        if (
            isinstance(stored.record, Score)
            and (stored.item.model, stored.item.version) not in read_versions
        ):
            yield error(stored.item.key, f"a score of {stored.item.version}, which does not exist")
