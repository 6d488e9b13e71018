"""Audits the tables of a model, and the snapshots that its versions were made from."""

import json
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptTable, NotFound, TooLarge
from overnight.store.maintenance import audit_rules
from overnight.store.maintenance.audit_rules import Observation, Severity, error
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.size_limits import COMMIT_BYTES
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.data import integrity
from overnight.tasks.data.snapshot import retake

_UNREADABLE = (NotFound, CorruptTable, pa.ArrowException)
_COMPARED_FIELDS = ("digest", "rows", "holdout_digest", "holdout_rows")


def audit_tables(
    bucket: Bucket,
    table: Callable[[str, str], Dataset],
    model: str,
    recorded: Mapping[str, DataLineage],
) -> Iterator[Observation]:
    """Read both tables of a model in full, and the snapshot that each version records.

    `recorded` is the data lineage of each version that was not deleted. While there is none,
    either table may be missing: the first ingest creates the holdout before the rows.

    Raises:
        StoreUnavailable, StoreDenied: the store cannot be read; the tables may be in order.
    """
    names = bucket.names_below(f"datasets/{keys.check_model(model)}")
    observations = []
    for name in ("rows", "holdout"):
        if name in names:
            observations += _audit_table(bucket, table(model, name), keys.dataset(model, name))
        elif recorded:
            key = keys.dataset(model, name)
            observations.append(error(key, "versions were made from this table, and it is missing"))
    yield from observations
    if not any(observation.severity is Severity.ERROR for observation in observations):
        yield from _audit_snapshots(model, table(model, "rows"), table(model, "holdout"), recorded)


def _audit_table(bucket: Bucket, table: Dataset, prefix: str) -> list[Observation]:
    """Check one table: its log has no gap, commits and files can be read, rows match digests."""
    # Listed before the log is read: a file of a commit under way must not seem to be unnamed.
    listed_before = bucket.sizes_below(prefix)
    log = bucket.sizes_below(f"{prefix}/_delta_log")
    named_files: set[str] = set()
    problems = list(audit_rules.table_log(prefix, (key.rpartition("/")[2] for key in log)))
    for key in log:
        if key.endswith(".json"):
            problems += _audit_commit(bucket, key, named_files)
    # With a damaged log, all that follows would only repeat it.
    if problems:
        return problems
    try:
        table.arrival_versions()
        needed = table.files()
        # Listed after the log was read: a commit under way must not seem to miss its files.
        listed = bucket.sizes_below(prefix)
        sizes = {key.removeprefix(f"{prefix}/"): size for key, size in listed.items()}
        missing = list(audit_rules.table_files(prefix, needed, sizes))
        if not missing and (problem := integrity.count_digests(table.all_batches()).problem):
            return [error(prefix, problem, audit_rules.REPLACE)]
    except _UNREADABLE as reason:
        return [error(prefix, f"the table cannot be read: {reason}")]
    return [*missing, *audit_rules.unnamed_files(prefix, named_files, listed_before)]


def _audit_commit(bucket: Bucket, key: str, named_files: set[str]) -> list[Observation]:
    """Check one commit, and add the files that it adds to `named_files`.

    Readers of a table start at its last checkpoint, so they never notice damage before that.
    """
    try:
        actions = [
            json.loads(line) for line in bucket.read(key, COMMIT_BYTES).splitlines() if line.strip()
        ]
        named_files |= {action["add"]["path"] for action in actions if action.keys() >= {"add"}}
    except (ValueError, TypeError, KeyError, AttributeError, TooLarge) as reason:
        return [
            error(key, f"this commit cannot be read: {reason}", audit_rules.REPLACE),
        ]
    return [] if actions else [error(key, "this commit is empty", audit_rules.REPLACE)]


def _audit_snapshots(
    model: str, rows: Dataset, holdout: Dataset, recorded: Mapping[str, DataLineage]
) -> Iterator[Observation]:
    """Compare the snapshot that the dataset gives now for each version with its manifest."""
    lineages: dict[tuple[object, ...], DataLineage | str] = {}
    for version, data in recorded.items():
        request = (
            *(data.dataset_version, data.without, data.judged_from),
            *(data.left_out, data.digest_format, data.unread, data.judged_by, data.kept_out),
        )
        if request not in lineages:
            try:
                lineages[request] = retake(rows, holdout, data).lineage
            except _UNREADABLE as reason:
                lineages[request] = str(reason)
        now, key = lineages[request], keys.manifest(model, version)
        if isinstance(now, str):
            yield error(key, f"its snapshot cannot be read: {now}")
            continue
        for name in _COMPARED_FIELDS:
            recorded_value, current = getattr(data, name), getattr(now, name)
            if recorded_value != current:
                yield error(
                    key,
                    f"its snapshot's {name} was {recorded_value}, and the dataset gives {current}",
                )
