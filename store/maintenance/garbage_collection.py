"""Garbage collection: deletes what no retention rule keeps, while other processes use the store.

First it writes the tombstone, then it checks whether the version has come into use meanwhile, and
only then deletes files. Publishing and promoting check for a tombstone after their own write: see
`overnight.store.registry.tombstones`. If it is killed in between, the next run continues.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

from overnight.store.errors import AlreadyExists, NotFound, TooLarge
from overnight.store.maintenance.retention_plan import IN_PROGRESS, Deletion, RetentionPlan
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.size_limits import MANIFEST_BYTES
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tombstones import Tombstone

_AT_ONCE = 8
# A file that no version has: deleting it shows whether deleting is permitted.
_PERMISSION_TEST = "of-nobody"


def collect(
    bucket: Bucket, plan: RetentionPlan, *, by: str, on_skip: Callable[[Deletion, str], None]
) -> list[Deletion]:
    """Delete what a plan names, except what has come into use since; returns the deletions.

    `on_skip` is called with each version that stays, and why.

    Raises:
        StoreDenied: these credentials may not delete versions' files. Nothing was written.
        CorruptRecord: the tombstone of a version cannot be read; none of its files was deleted.
    """
    # Before any tombstone is written: a version with one cannot be served, so it must not come
    # from an identity that may not delete the files.
    for deletion in plan.leaving:
        bucket.discard(keys.version_file(deletion.model, deletion.version, _PERMISSION_TEST))
    registry = ModelRegistry(bucket, plan.model)
    for version in plan.returning:
        registry.tombstones.revoke(version, plan.staying[version])
    # All tombstones before the first check: the longer one exists, the surer others see it.
    origins = {deletion.version: _mark(bucket, deletion, by) for deletion in plan.leaving}
    deleted = []
    for deletion in plan.leaving:
        origin = origins[deletion.version]
        if origin is _Origin.OTHER_RUN:
            on_skip(deletion, "another run is deleting it")
            continue
        # With a dead run's tombstone nothing could start to use the version since: just finish.
        in_use = origin is _Origin.THIS_RUN and _is_in_use(bucket, plan, deletion)
        if in_use:
            registry.tombstones.revoke(deletion.version, "it came into use at that moment")
            on_skip(deletion, "it came into use at this moment")
        elif registry.tombstones.revoked(deletion.version) is not None:
            on_skip(deletion, "another run keeps it")
        else:
            files = (
                keys.version_file(deletion.model, deletion.version, name) for name in deletion.files
            )
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(bucket.discard, files))
            deleted.append(deletion)
    return deleted


class _Origin(Enum):
    """Which run wrote a version's tombstone: this one, another running one, or a dead one."""

    THIS_RUN, OTHER_RUN, DEAD_RUN = range(3)


def _mark(bucket: Bucket, deletion: Deletion, by: str) -> _Origin:
    """Write the tombstone; the one that was written first stands."""
    tombstone = Tombstone(
        model=deletion.model,
        version=deletion.version,
        was="published" if deletion.published else "half-written",
        files=tuple(deletion.files),
        size_bytes=deletion.size_bytes,
        by=by,
        reason=deletion.reason,
    )
    try:
        bucket.create(keys.tombstone(deletion.model, deletion.version), tombstone.encoded())
    except AlreadyExists:
        first = ModelRegistry(bucket, deletion.model).tombstones.find(deletion.version)
        is_dead = first is not None and first.at < tombstone.at - IN_PROGRESS
        return _Origin.DEAD_RUN if is_dead else _Origin.OTHER_RUN
    return _Origin.THIS_RUN


def _is_in_use(bucket: Bucket, plan: RetentionPlan, deletion: Deletion) -> bool:
    """Whether it was published, promoted or made challenger since the plan was made.

    Uses single reads only: a listing may be stale.
    """
    model, version = deletion.model, deletion.version
    if not deletion.published and any(
        _exists(bucket, key(model, version)) for key in (keys.manifest, keys.decision)
    ):
        return True
    return any(
        record.version == version
        for alias, known in plan.logs.items()
        for record in _since(AliasLog(bucket, model, alias), known)
    )


def _exists(bucket: Bucket, key: str) -> bool:
    try:
        bucket.read(key, MANIFEST_BYTES)
    except NotFound:
        return False
    except TooLarge:
        # Damaged, but there.
        return True
    return True


def _since(log: AliasLog, known: Sequence[AliasRecord]) -> Iterator[AliasRecord]:
    return log.after(known[-1].sequence if known else 0)
