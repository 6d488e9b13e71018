"""Snapshots: the exact rows that a version is trained and judged on, named by digest."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.moving_holdout import day_column
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptTable
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.data import integrity
from overnight.tasks.data.admission import ARRIVAL_COLUMNS
from overnight.tasks.data.categories import Categories, Values, unknown_values, without_values
from overnight.tasks.data.row_digest import NEWEST_FORMAT, row_digest

# Tables store days as numbers since then.
_EPOCH = date(1970, 1, 1)
# By name, too: two arrivals may have been delivered at the same time.
_OLDEST_FIRST = [(name, "ascending") for name in ("arrived_at", "arrival", "arrival_row")]


@dataclass(frozen=True)
class Snapshot:
    """One version of a dataset; its digests depend on the rows alone, not on their arrivals.

    Rows of the arrivals in `without` are excluded, and rows with one of the values `left_out`, each
    a pair of a column and a value. With a moving holdout, the rows from the day `judged_from` (ISO
    8601) on are held out, and `digest` and `rows` are of the earlier ones.
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
    known: Categories | None = None,
    left_out: Values = (),
    digest_format: int = NEWEST_FORMAT,
) -> Snapshot:
    """The snapshot of a version of the dataset, by default the newest.

    Rows of the arrivals in `without` are excluded, and rows with a category that is not `known`.
    With a moving holdout, the newest `held_days` days are held out. To read a recorded snapshot
    again (`retake`), the days from `judged_from` on are, and the values `left_out` are excluded.

    Raises:
        NotFound: nothing was ingested yet, or there is no such version.
    """
    version = rows.version() if version is None else version
    schema = rows.schema(version)
    rows_to_learn = _rows_to_learn(rows.read(version, _comparable_columns(schema)), without)
    if known is not None:
        left_out = unknown_values(rows_to_learn, known)
    rows_to_learn = without_values(rows_to_learn, left_out)
    if held_days is not None and judged_from is None:
        judged_from = _first_held_day(rows_to_learn, held_days)
    if judged_from is None:
        held_out = holdout.read(columns=_comparable_columns(holdout.schema()))
    else:
        rows_to_learn, held_out = _split_by_day(rows_to_learn, judged_from)
    return Snapshot(
        dataset_version=version or 0,
        digest=_digest(rows_to_learn, digest_format),
        rows=rows_to_learn.num_rows,
        arrivals=len(rows_to_learn.column("arrival").unique()),
        holdout_digest=_digest(held_out, digest_format),
        holdout_rows=held_out.num_rows,
        without=tuple(sorted(without)),
        judged_from=judged_from,
        digest_format=digest_format,
        left_out=left_out,
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
    )


def read_rows(rows: Dataset, snapshot: Snapshot) -> pa.Table:
    """The training rows in the source's columns, in order of arrival."""
    return split_holdout(read_stamped(rows, snapshot), snapshot)[0].drop_columns(
        list(ARRIVAL_COLUMNS)
    )


def read_stamped(rows: Dataset, snapshot: Snapshot) -> pa.Table:
    """The rows of a snapshot in order of arrival, with the arrival columns.

    With a moving holdout, the held-out rows are among them.

    Raises:
        CorruptTable: rows differ from their digests, or from the digest of the snapshot.
    """
    with_arrivals = without_values(
        _rows_to_learn(rows.read(snapshot.dataset_version), snapshot.without), snapshot.left_out
    )
    # Pictures are not in the snapshot's digest; each is compared with the digest of its row.
    integrity.check(with_arrivals, rows.uri)
    training, judging = split_holdout(
        with_arrivals.select(_comparable_columns(with_arrivals.schema)), snapshot
    )
    _check_digest(rows, training, snapshot.digest, snapshot.digest_format)
    if snapshot.judged_from is not None:
        _check_digest(rows, judging, snapshot.holdout_digest, snapshot.digest_format)
    return with_arrivals


def split_holdout(stamped: pa.Table, snapshot: Snapshot) -> tuple[pa.Table, pa.Table]:
    """The training rows and the held-out rows; none of the latter if the holdout is frozen."""
    if snapshot.judged_from is None:
        return stamped, stamped.slice(0, 0)
    return _split_by_day(stamped, snapshot.judged_from)


def read_holdout(holdout: Dataset, snapshot: Snapshot | None = None) -> pa.Table:
    """The rows of a frozen holdout in the source's columns, always in the same order.

    Raises:
        CorruptTable: rows differ from their digests, or from the digest of the snapshot.
    """
    rows = holdout.read()
    integrity.check(rows, holdout.uri)
    if snapshot is not None:
        _check_digest(
            holdout,
            rows.select(_comparable_columns(rows.schema)),
            snapshot.holdout_digest,
            snapshot.digest_format,
        )
    return rows.sort_by("digest")


def _check_digest(table: Dataset, rows: pa.Table, digest: str, digest_format: int) -> None:
    if (current := _digest(rows, digest_format)) != digest:
        reason = (
            f"its rows give the digest {current[:12]}…, expected {digest[:12]}… of the snapshot"
        )
        raise CorruptTable(table.uri, reason)


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


def _rows_to_learn(rows: pa.Table, without: Collection[str]) -> pa.Table:
    """The rows of all arrivals but those in `without`."""
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


def _comparable_columns(schema: pa.Schema) -> list[str]:
    """The columns that identify a row: without bytes, whose digest is a column of its own."""
    return [field.name for field in schema if not pa.types.is_binary(field.type)]


def _digest(rows: pa.Table, digest_format: int) -> str:
    # Without the arrival columns: the same rows give the same digest however they arrived.
    return row_digest(rows, digest_format, without=ARRIVAL_COLUMNS)
