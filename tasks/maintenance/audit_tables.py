"""Retrace: whether a model's tables, and what its versions were made from, read as recorded."""

import json
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptTable, NotFound
from overnight.store.maintenance import audit_rules
from overnight.store.maintenance.audit_rules import Observation, Severity, error
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.data import integrity
from overnight.tasks.data.snapshot import snapshot

_UNREADABLE = (NotFound, CorruptTable, pa.ArrowException)
_TELLING = ("digest", "rows", "holdout_digest", "holdout_rows")


def audit_tables(
    bucket: Bucket,
    table: Callable[[str, str], Dataset],
    model: str,
    recorded: Mapping[str, DataLineage],
) -> Iterator[Observation]:
    """Read both tables of a model whole, and the snapshot that each version records.

    `recorded` is what each version that is kept was made from, by its name. While there are none,
    neither table has to be there: one is made before the other.

    Raises:
        StoreUnavailable, StoreDenied: the store cannot be asked, which says nothing of the tables.
    """
    names = bucket.names_below(f"datasets/{keys.check_model(model)}")
    seen = []
    for name in ("rows", "holdout"):
        if name in names:
            seen += _table(bucket, table(model, name), keys.dataset(model, name))
        elif recorded:
            key = keys.dataset(model, name)
            seen.append(error(key, "versions were made from this table, and it is not there"))
    yield from seen
    if not any(one.severity is Severity.ERROR for one in seen):
        yield from _snapshots(model, table(model, "rows"), table(model, "holdout"), recorded)


def _table(bucket: Bucket, table: Dataset, prefix: str) -> list[Observation]:
    """The log without gaps and each commit read, every file there, every row of every column."""
    # Listed before the log, or what a commit under way has just named would seem to be nobody's.
    before = bucket.sizes_below(prefix)
    log = bucket.sizes_below(f"{prefix}/_delta_log")
    named: set[str] = set()
    troubles = list(audit_rules.table_log(prefix, (key.rpartition("/")[2] for key in log)))
    for key in log:
        if key.endswith(".json"):
            troubles += _commit(bucket, key, named)
    if troubles:
        return troubles
    try:
        table.arrivals()
        needed = table.files()
        # Listed after the log was read, or a commit under way would seem to miss its files.
        listed = bucket.sizes_below(prefix)
        found = {key.removeprefix(f"{prefix}/"): size for key, size in listed.items()}
        missing = list(audit_rules.table_files(prefix, needed, found))
        if not missing and (told := integrity.summed(table.every_row()).told):
            return [error(prefix, told, audit_rules.REPLACE)]
    except _UNREADABLE as reason:
        return [error(prefix, f"the table cannot be read: {reason}")]
    return [*missing, *audit_rules.unnamed_files(prefix, named, before)]


def _commit(bucket: Bucket, key: str, named: set[str]) -> list[Observation]:
    """What is wrong with one commit; the files that it adds come to those that are `named`.

    Whoever opens a table begins at its last checkpoint, and never sees what is wrong before it.
    """
    try:
        told = [json.loads(line) for line in bucket.read(key).splitlines() if line.strip()]
        named |= {one["add"]["path"] for one in told if one.keys() >= {"add"}}
    except (ValueError, TypeError, KeyError, AttributeError) as reason:
        return [
            error(key, f"this commit cannot be read: {reason}", audit_rules.REPLACE),
        ]
    return [] if told else [error(key, "this commit is empty", audit_rules.REPLACE)]


def _snapshots(
    model: str, rows: Dataset, holdout: Dataset, recorded: Mapping[str, DataLineage]
) -> Iterator[Observation]:
    """What the dataset gives today for each version, held against what its manifest says."""
    found: dict[tuple[int, tuple[str, ...], str | None], DataLineage | str] = {}
    for version, data in recorded.items():
        asked = (data.dataset_version, data.without, data.judged_from)
        if asked not in found:
            try:
                found[asked] = snapshot(
                    rows, holdout, version=asked[0], without=asked[1], judged_from=asked[2]
                ).lineage
            except _UNREADABLE as reason:
                found[asked] = str(reason)
        now, key = found[asked], keys.manifest(model, version)
        if isinstance(now, str):
            yield error(key, f"its snapshot cannot be read: {now}")
            continue
        for name in _TELLING:
            then, here = getattr(data, name), getattr(now, name)
            if then != here:
                yield error(key, f"its snapshot's {name} was {then}, and the dataset gives {here}")
