"""Snapshots: the exact rows that a version is trained and judged on, named by digest."""

import hashlib
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.moving_holdout import day_column
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.holdout_sets import (
    FIRST,
    HoldoutSet,
    holdout_sets,
    judging,
    read_set,
)
from overnight.store.errors import CorruptTable, NotFound
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.data import integrity
from overnight.tasks.data.categories import Categories, Values, unknown_values, without_values
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.row_digest import NEWEST_FORMAT, row_digest
from overnight.tasks.data.stamps import ARRIVAL_COLUMNS

# Tables store days as numbers since then.
_EPOCH = date(1970, 1, 1)
# By name, too: two arrivals may have been delivered at the same time.
_OLDEST_FIRST = [(name, "ascending") for name in ("arrived_at", "arrival", "arrival_row")]


@dataclass(frozen=True)
class Snapshot:
    """One version of a dataset; its digests depend on the rows alone, not on their arrivals.

    Rows of the arrivals in `without` are excluded, and rows with one of the values `left_out`, each
    a pair of a column and a value. With a moving holdout, the rows from the day `judged_from` (ISO
    8601) on are held out, and `digest` and `rows` are of the earlier ones. The columns in `unread`
    are in the table, and not in the snapshot. `judged_by` names the sets of a frozen holdout that
    judge, the newest first, where that is not the first one alone; no row of the sets `kept_out`,
    which came after the first, is learned.
    """

    dataset_version: int
    digest: str
    rows: int
    arrivals: int
    holdout_digest: str
    holdout_rows: int
    without: tuple[str, ...] = ()
    judged_from: str | None = None
    # As of manifests that do not have it.
    digest_format: int = 1
    left_out: Values = ()
    unread: tuple[str, ...] = ()
    judged_by: tuple[str, ...] = ()
    kept_out: tuple[str, ...] = ()

    @property
    def lineage(self) -> DataLineage:
        """The snapshot as a record in the manifest."""
        return DataLineage(**asdict(self))


def snapshot(
    rows: Dataset,
    holdout: Dataset,
    *,
    version: int | None = None,
    without: Collection[str] = (),
    held_days: int | None = None,
    judged_from: str | None = None,
    judged_by: Collection[str] | None = None,
    known: Categories | None = None,
    left_out: Values = (),
    digest_format: int = NEWEST_FORMAT,
    declared: DeclaredColumns | None = None,
    unread: Collection[str] = (),
    existing: Collection[str] | None = None,
    now: datetime | None = None,
) -> Snapshot:
    """The snapshot of a version of the dataset, by default the newest.

    Rows of the arrivals in `without` are excluded, and rows with a category that is not `known`.
    With a moving holdout, the newest `held_days` days are held out. Of the columns that are not
    `declared`, those with a gap are not read. To read a recorded snapshot again (`retake`), the
    days from `judged_from` on are held out, the values `left_out` are excluded, the columns
    `unread` are not read, and of the holdout only the `existing` sets count, and `judged_by` do.

    Raises:
        NotFound: nothing was ingested yet, or there is no such version.
    """
    version = rows.version() if version is None else version
    schema = rows.schema(version)
    is_frozen = held_days is None and judged_from is None
    sets = _existing(holdout, existing) if is_frozen else ()
    renewed = tuple(each for each in sets if each.renewal is not None)
    rows_to_learn = _rows_to_learn(
        rows.read(version, _comparable_columns(schema, unread)),
        without,
        _held_out_digests(holdout, renewed),
    )
    if declared is not None:
        unread = _unread(rows, rows_to_learn, version, declared)
        rows_to_learn = rows_to_learn.drop_columns(
            [name for name in unread if name in rows_to_learn.column_names]
        )
    if known is not None:
        left_out = unknown_values(rows_to_learn, known)
    rows_to_learn = without_values(rows_to_learn, left_out)
    if held_days is not None and judged_from is None:
        judged_from = _first_held_day(rows_to_learn, held_days)
    if judged_from is None:
        # A moving holdout without any row has none either.
        sets = sets or _existing(holdout, None)
        judges = (
            judging(sets, now or datetime.now(UTC))
            if judged_by is None
            else _named(holdout, sets, judged_by)
        )
        digest_of_holdout, n = _holdout_digest(holdout, judges, digest_format)
    else:
        judges = ()
        rows_to_learn, held_out = _split_by_day(rows_to_learn, judged_from)
        digest_of_holdout, n = _digest(held_out, digest_format), held_out.num_rows
    return Snapshot(
        dataset_version=version or 0,
        digest=_digest(rows_to_learn, digest_format),
        rows=rows_to_learn.num_rows,
        arrivals=len(rows_to_learn.column("arrival").unique()),
        holdout_digest=digest_of_holdout,
        holdout_rows=n,
        without=tuple(sorted(without)),
        judged_from=judged_from,
        digest_format=digest_format,
        left_out=left_out,
        unread=tuple(sorted(unread)),
        judged_by=tuple(each.name for each in judges) if renewed else (),
        kept_out=tuple(each.name for each in renewed),
    )


def retake(rows: Dataset, holdout: Dataset, recorded: DataLineage) -> Snapshot:
    """The snapshot that the dataset gives now for a recorded one.

    Raises:
        NotFound: there is no such version of the dataset.
    """
    return snapshot(
        rows,
        holdout,
        version=recorded.dataset_version,
        without=recorded.without,
        judged_from=recorded.judged_from,
        left_out=recorded.left_out,
        digest_format=recorded.digest_format,
        unread=recorded.unread,
        existing=(FIRST, *recorded.kept_out),
        judged_by=recorded.judged_by or (FIRST,),
    )


def read_rows(
    rows: Dataset,
    snapshot: Snapshot,
    holdout: Dataset | None = None,
    *,
    declared: DeclaredColumns | None = None,
) -> pa.Table:
    """The training rows in the source's columns, in order of arrival."""
    stamped = read_stamped(rows, snapshot, holdout, declared=declared)
    return split_holdout(stamped, snapshot)[0].drop_columns(list(ARRIVAL_COLUMNS))


def read_stamped(
    rows: Dataset,
    snapshot: Snapshot,
    holdout: Dataset | None = None,
    *,
    declared: DeclaredColumns | None = None,
) -> pa.Table:
    """The rows of a snapshot in order of arrival, with the arrival columns.

    With a moving holdout, the held-out rows are among them. Columns that are `declared` and came
    later have their defaults in earlier rows. The `holdout` is needed where it was renewed.

    Raises:
        CorruptTable: rows differ from their digests, or from the digest of the snapshot.
    """
    schema = rows.schema(snapshot.dataset_version)
    columns = [name for name in schema.names if name not in snapshot.unread]
    held_out: set[str] = set()
    if snapshot.kept_out and holdout is not None:
        renewed = _named(holdout, holdout_sets(holdout), snapshot.kept_out)
        held_out = _held_out_digests(holdout, renewed)
    read = rows.read(snapshot.dataset_version, columns)
    with_arrivals = without_values(
        _rows_to_learn(read, snapshot.without, held_out), snapshot.left_out
    )
    # Pictures are not in the snapshot's digest; each is compared with the digest of its row.
    integrity.check(with_arrivals, rows.uri)
    training, held = split_holdout(
        with_arrivals.select(_comparable_columns(with_arrivals.schema)), snapshot
    )
    _check_digest(rows, training, snapshot.digest, snapshot.digest_format)
    if snapshot.judged_from is not None:
        _check_digest(rows, held, snapshot.holdout_digest, snapshot.digest_format)
    return with_arrivals if declared is None else declared.filled(with_arrivals)


def split_holdout(stamped: pa.Table, snapshot: Snapshot) -> tuple[pa.Table, pa.Table]:
    """The training rows and the held-out rows; none of the latter if the holdout is frozen."""
    if snapshot.judged_from is None:
        return stamped, stamped.slice(0, 0)
    return _split_by_day(stamped, snapshot.judged_from)


def read_holdout(
    holdout: Dataset, snapshot: Snapshot | None = None, *, declared: DeclaredColumns | None = None
) -> pa.Table:
    """The rows of all sets that judge, in the source's columns and always in the same order."""
    parts = read_judging_sets(holdout, snapshot, declared=declared)
    return pa.concat_tables(parts.values(), promote_options="permissive")


def read_judging_sets(
    holdout: Dataset, snapshot: Snapshot | None = None, *, declared: DeclaredColumns | None = None
) -> dict[str, pa.Table]:
    """The rows of each set of a frozen holdout that judges a snapshot, by name, newest first.

    Without a snapshot, of each that judges now.

    Raises:
        NotFound: there is no holdout yet, or no such set.
        CorruptTable: rows differ from their digests, or from the digest of the snapshot.
    """
    sets = holdout_sets(holdout)
    if snapshot is None:
        judges = judging(sets, datetime.now(UTC))
    else:
        judges = _named(holdout, sets, snapshot.judged_by or (FIRST,))
    if not judges:
        raise NotFound(holdout.uri)
    parts = {each.name: read_set(holdout, each) for each in judges}
    for rows in parts.values():
        integrity.check(rows, holdout.uri)
    if snapshot is not None:
        digests = [
            _digest(rows.select(_comparable_columns(rows.schema)), snapshot.digest_format)
            for rows in parts.values()
        ]
        _compare(holdout, _joined(digests), snapshot.holdout_digest)
    return {
        name: (rows if declared is None else declared.filled(rows)).sort_by("digest")
        for name, rows in parts.items()
    }


def _check_digest(table: Dataset, rows: pa.Table, digest: str, digest_format: int) -> None:
    _compare(table, _digest(rows, digest_format), digest)


def _compare(table: Dataset, current: str, digest: str) -> None:
    if current != digest:
        reason = (
            f"its rows give the digest {current[:12]}…, expected {digest[:12]}… of the snapshot"
        )
        raise CorruptTable(table.uri, reason)


def _existing(holdout: Dataset, names: Collection[str] | None) -> tuple[HoldoutSet, ...]:
    """The sets of a holdout, or those of a recorded snapshot."""
    sets = holdout_sets(holdout)
    return sets if names is None else _named(holdout, sets, names)


def _named(
    holdout: Dataset, sets: Collection[HoldoutSet], names: Collection[str]
) -> tuple[HoldoutSet, ...]:
    """Sets by name, in the order of the names.

    Raises:
        NotFound: there is no such set.
    """
    by_name = {each.name: each for each in sets}
    if missing := [name for name in names if name not in by_name]:
        raise NotFound(f"{holdout.uri}: the set {', '.join(missing)}")
    return tuple(by_name[name] for name in names)


def _held_out_digests(holdout: Dataset, sets: Collection[HoldoutSet]) -> set[str]:
    """The digests of sets whose rows may have been ingested before they were held out."""
    return {
        digest for each in sets for digest in read_set(holdout, each).column("digest").to_pylist()
    }


def _holdout_digest(
    holdout: Dataset, judges: Collection[HoldoutSet], digest_format: int
) -> tuple[str, int]:
    """The digest of the sets that judge together, and the number of their rows."""
    if not judges:
        raise NotFound(holdout.uri)
    parts = [read_set(holdout, each) for each in judges]
    digests = [
        _digest(rows.select(_comparable_columns(rows.schema)), digest_format) for rows in parts
    ]
    return _joined(digests), sum(rows.num_rows for rows in parts)


def _joined(digests: Collection[str]) -> str:
    """Of one set its own digest, as in manifests of earlier releases."""
    first, *more = digests
    return hashlib.sha256("\n".join(digests).encode()).hexdigest() if more else first


def _unread(
    table: Dataset, rows: pa.Table, version: int | None, declared: DeclaredColumns
) -> tuple[str, ...]:
    """The columns that are not declared, and that some of the rows to learn lack."""
    schema = table.schema(version)
    undeclared = [name for name in schema.names if name not in declared.names]
    bulky = [name for name in undeclared if name not in rows.column_names]
    with_gaps = [
        name for name in undeclared if name in rows.column_names and rows.column(name).null_count
    ]
    return tuple(sorted({*with_gaps, *table.columns_with_gaps(bulky, version)}))


def _first_held_day(rows: pa.Table, held_days: int) -> str | None:
    """The first of the newest `held_days` days; None without rows."""
    newest = pc.max(day_column(rows)).as_py()
    if newest is None:
        return None
    return (_EPOCH + timedelta(days=newest - held_days + 1)).isoformat()


def _split_by_day(rows: pa.Table, judged_from: str) -> tuple[pa.Table, pa.Table]:
    """The rows before a day, and those from that day on."""
    begin = (date.fromisoformat(judged_from) - _EPOCH).days
    judging = pc.greater_equal(day_column(rows), begin)
    return rows.filter(pc.invert(judging)), rows.filter(judging)


def _rows_to_learn(
    rows: pa.Table, without: Collection[str], held_out: Collection[str] = ()
) -> pa.Table:
    """The rows of all arrivals but those in `without`, less those whose digests are held out."""
    if held_out:
        digests = pa.array(sorted(held_out), pa.string())
        rows = rows.filter(pc.invert(pc.is_in(rows.column("digest"), digests)))
    if without:
        is_excluded = pc.is_in(rows.column("arrival"), pa.array(sorted(without), pa.string()))
        rows = rows.filter(pc.invert(is_excluded))
    return _first_of_each(rows)


def _first_of_each(rows: pa.Table) -> pa.Table:
    """Rows in order of arrival; of equal ones, which concurrent ingests can add, the first."""
    ordered = pc.sort_indices(rows.select(list(ARRIVAL_COLUMNS)), sort_keys=_OLDEST_FIRST)
    digests = rows.column("digest").take(ordered).to_numpy(zero_copy_only=False)
    _, first = np.unique(digests.astype("S64"), return_index=True)
    return rows.take(ordered.take(pa.array(np.sort(first))))


def _comparable_columns(schema: pa.Schema, unread: Collection[str] = ()) -> list[str]:
    """The columns that identify a row: without bytes, whose digest is a column of its own."""
    return [
        field.name
        for field in schema
        if not pa.types.is_binary(field.type) and field.name not in unread
    ]


def _digest(rows: pa.Table, digest_format: int) -> str:
    # Without the arrival columns: the same rows give the same digest however they arrived.
    return row_digest(rows, digest_format, without=ARRIVAL_COLUMNS)
