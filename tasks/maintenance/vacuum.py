"""Collect: let go of files of tables that no version which is kept was made from."""

from collections.abc import Mapping
from dataclasses import dataclass

from overnight.store.datasets.delta_table import Dataset
from overnight.store.maintenance.retention_plan import RetentionPlan
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket


@dataclass(frozen=True)
class Reclaimable:
    """Files of a table that nobody needs, by their keys, with their sizes in bytes."""

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
    """Vacuum a model's table, `rows` or `holdout`, or tell what that would remove.

    Every version of the holdout is kept, because manifests name it by its digest alone. What was
    written within the days of grace stays: it may belong to a commit that is under way. While it
    is not known what some version was made from, everything stays.
    """
    prefix = keys.dataset(plan.model, name)
    sizes = bucket.sizes_below(prefix)
    if not sizes or plan.unread:
        return Reclaimable(plan.model, name, {})
    newest = table.version() or 0
    needed = plan.snapshots if name == "rows" else range(newest + 1)
    there = [key.removeprefix(f"{prefix}/") for key in sizes]
    gone = table.vacuum(needed, there=there, hours=retention.grace_days * 24, delete=delete)
    return Reclaimable(
        plan.model, name, {f"{prefix}/{file}": sizes[f"{prefix}/{file}"] for file in gone}
    )
