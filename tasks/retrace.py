"""Retrace: whether a model's tables, and what its versions were made from, read as recorded."""

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from store import auditing, keys
from store.auditing import Observation, error
from store.bucket import Bucket
from store.errors import NotFound, StoreUnavailable
from store.manifest import DataLineage
from store.tables import Table
from tasks.snapshot import snapshot

_UNREADABLE = (NotFound, StoreUnavailable, pa.ArrowException)
_TELLING = ("digest", "rows", "holdout_digest", "holdout_rows")


def retrace(
    bucket: Bucket,
    table: Callable[[str, str], Table],
    model: str,
    recorded: Mapping[str, DataLineage],
) -> Iterator[Observation]:
    """Read both tables of a model whole, and the snapshot that each version records.

    `recorded` is what each version that is kept was made from, by its name.
    """
    names = bucket.names_below(f"datasets/{keys.check_model(model)}")
    if not {"rows", "holdout"} & {*names}:
        if recorded:
            key = keys.dataset(model, "rows")
            yield error(key, "versions were made from this table, and it is not there")
        return
    rows, holdout = table(model, "rows"), table(model, "holdout")
    troubles = [
        *_table(bucket, rows, keys.dataset(model, "rows")),
        *_table(bucket, holdout, keys.dataset(model, "holdout")),
    ]
    yield from troubles
    if not troubles:
        yield from _snapshots(model, rows, holdout, recorded)


def _table(bucket: Bucket, table: Table, prefix: str) -> list[Observation]:
    """The log without gaps, every file there, and every row of every column read."""
    log = bucket.sizes_below(f"{prefix}/_delta_log")
    gaps = list(auditing.table_log(prefix, (key.rpartition("/")[2] for key in log)))
    if gaps:
        return gaps
    try:
        needed = table.files()
        # Listed after the log was read, or a commit under way would seem to miss its files.
        listed = bucket.sizes_below(prefix)
        found = {key.removeprefix(f"{prefix}/"): size for key, size in listed.items()}
        missing = list(auditing.table_files(prefix, needed, found))
        if not missing:
            table.every_row()
    except _UNREADABLE as reason:
        return [error(prefix, f"the table cannot be read: {reason}")]
    return missing


def _snapshots(
    model: str, rows: Table, holdout: Table, recorded: Mapping[str, DataLineage]
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
