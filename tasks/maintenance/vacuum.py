"""Deletes files of tables that belong to no snapshot of a kept version."""

from collections.abc import Mapping
from dataclasses import dataclass

from overnight.store.datasets.delta_table import Dataset
from overnight.store.maintenance.retention_plan import RetentionPlan
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket


@dataclass(frozen=True)
class Reclaimable:
    """Files of a table that no kept version needs: sizes in bytes by key."""

    model: str
    table: str
    files: Mapping[str, int]

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())


def vacuum_table(
    bucket: Bucket,
    table: Dataset,
    name: str,
    plan: RetentionPlan,
    retention: Retention,
    *,
    delete: bool,
) -> Reclaimable:
    """Vacuum a model's table, `rows` or `holdout`, or list what that would delete.

    Every version of the holdout is kept, because manifests name it by its digest alone. Files
    written within the days of grace stay: they may belong to a commit that is under way. While
    some manifest cannot be read, its snapshot is unknown and every file stays.
    """
    prefix = keys.dataset(plan.model, name)
    sizes = bucket.sizes_below(prefix)
    if not sizes or plan.unread:
        return Reclaimable(plan.model, name, {})
    newest = table.version() or 0
    needed = plan.snapshots if name == "rows" else range(newest + 1)
    listed = [key.removeprefix(f"{prefix}/") for key in sizes]
    deleted = table.vacuum(needed, there=listed, hours=retention.grace_days * 24, delete=delete)
    return Reclaimable(
        plan.model, name, {f"{prefix}/{file}": sizes[f"{prefix}/{file}"] for file in deleted}
    )
