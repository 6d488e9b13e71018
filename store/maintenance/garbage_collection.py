"""Collecting: letting go of what no rule keeps, while others publish, promote and serve.

First the word (`collected.json`), then a look whether anybody wants the version after all, and only
then the files. Whoever promotes or publishes looks for the word after their own write: see
`overnight.store.registry.tombstones`. Killed anywhere in between, the next run goes on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

from overnight.store.errors import AlreadyExists, NotFound
from overnight.store.maintenance.retention_plan import UNDER_WAY, Deletion, RetentionPlan
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import AliasLog, AliasRecord
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tombstones import Tombstone

_AT_ONCE = 8
# A file that no version has: removing it shows whether removing is allowed.
_NOBODYS = "of-nobody"


def collect(
    bucket: Bucket, plan: RetentionPlan, *, by: str, told: Callable[[Deletion, str], None]
) -> list[Deletion]:
    """Let go of what a plan names, unless somebody wants it after all; `told` what stays, and why.

    Every version gets its word before any file goes, so that there is time for others to look; and
    no version gets one from whoever may not let go of its files.

    Raises:
        StoreDenied: these credentials may not delete versions' files. Nothing was said or removed.
        CorruptRecord: what was said of a version cannot be read; no file of it was removed.
    """
    for one in plan.leaving:
        bucket.discard(keys.version_file(one.model, one.version, _NOBODYS))
    registry = ModelRegistry(bucket, plan.model)
    for version in plan.returning:
        registry.revoke_tombstone(version, plan.staying[version])
    marks = {one.version: _mark(bucket, one, by) for one in plan.leaving}
    gone = []
    for one in plan.leaving:
        mark = marks[one.version]
        if mark is _Mark.ANOTHERS:
            told(one, "somebody else collects it")
            continue
        # Who wanted it after an earlier run's word was refused, so such a run is just finished.
        wanted = mark is _Mark.OURS and _is_wanted(bucket, plan, one)
        if wanted:
            registry.revoke_tombstone(one.version, "somebody wanted it at that moment")
            told(one, "somebody wanted it at this moment")
        elif registry.tombstone_revoked(one.version) is not None:
            told(one, "somebody else keeps it")
        else:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                places = (keys.version_file(one.model, one.version, name) for name in one.files)
                list(pool.map(bucket.discard, places))
            gone.append(one)
    return gone


class _Mark(Enum):
    """Whose word a version has: that of this run, of one that is under way, or of a dead one."""

    OURS, ANOTHERS, OLD = range(3)


def _mark(bucket: Bucket, one: Deletion, by: str) -> _Mark:
    """Write the word; what was written first stands."""
    word = Tombstone(
        model=one.model,
        version=one.version,
        was="published" if one.published else "half-written",
        files=tuple(one.files),
        size_bytes=one.size_bytes,
        by=by,
        reason=one.reason,
    )
    try:
        bucket.create(keys.tombstone(one.model, one.version), word.encoded())
    except AlreadyExists:
        first = ModelRegistry(bucket, one.model).tombstone(one.version)
        dead = first is not None and first.at < word.at - UNDER_WAY
        return _Mark.OLD if dead else _Mark.ANOTHERS
    return _Mark.OURS


def _is_wanted(bucket: Bucket, plan: RetentionPlan, one: Deletion) -> bool:
    """Whether it was published, promoted or challenged with since the plan was made.

    Asked by single reads, never by a listing, which may be stale.
    """
    if not one.published and any(
        _is_there(bucket, form(one.model, one.version)) for form in (keys.manifest, keys.decision)
    ):
        return True
    return any(
        record.version == one.version
        for alias, judged in plan.logs.items()
        for record in _since(AliasLog(bucket, one.model, alias), judged)
    )


def _is_there(bucket: Bucket, key: str) -> bool:
    try:
        bucket.read(key)
    except NotFound:
        return False
    return True


def _since(log: AliasLog, judged: Sequence[AliasRecord]) -> list[AliasRecord]:
    sequence, found = judged[-1].sequence if judged else 0, []
    while (record := log.at(sequence + 1)) is not None:
        found.append(record)
        sequence = record.sequence
    return found
