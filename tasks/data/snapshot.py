"""Snapshot: the exact rows a version is trained and judged on, named by their contents."""

import hashlib
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.moving_holdout import DAY
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptTable, NotFound
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.data import integrity
from overnight.tasks.data.ingest import ARRIVAL_COLUMNS

_EPOCH = date(1970, 1, 1)
_OLDEST_FIRST = [(name, "ascending") for name in ("arrived_at", "arrival", "arrival_row")]


@dataclass(frozen=True)
class Snapshot:
    """One version of a dataset. The digests depend on the rows alone, not on how they came.

    `without` names arrivals in that version whose rows are left out. Where the holdout moves, rows
    from the day `judged_from` (ISO 8601) on judge; `digest` and `rows` are of the earlier ones.
    """

    dataset_version: int
    digest: str
    rows: int
    arrivals: int
    holdout_digest: str
    holdout_rows: int
    without: tuple[str, ...] = ()
    judged_from: str | None = None

    @property
    def lineage(self) -> DataLineage:
        """What a manifest says of it."""
        return DataLineage(**asdict(self))


def snapshot(
    rows: Dataset,
    holdout: Dataset,
    *,
    version: int | None = None,
    without: Collection[str] = (),
    held_days: int | None = None,
    judged_from: str | None = None,
) -> Snapshot:
    """The rows of a version of the dataset, the newest unless told, and the holdout.

    The rows of the arrivals named by `without` are left out. The newest `held_days` days are the
    holdout where that moves; or, when that is recorded, the days from `judged_from` on.

    Raises:
        NotFound: nothing was ever taken in, or there is no such version.
    """
    version = rows.version() if version is None else version
    schema = rows.schema(version)
    learned = _learned(rows.read(version, _telling(schema)), without)
    if held_days is not None and judged_from is None:
        judged_from = _begin(learned, held_days)
    if judged_from is None:
        held_out = holdout.read(columns=_telling(holdout.schema()))
    else:
        learned, held_out = _parted(learned, judged_from)
    return Snapshot(
        dataset_version=version or 0,
        digest=_digest(learned),
        rows=learned.num_rows,
        arrivals=len(learned.column("arrival").unique()),
        holdout_digest=_digest(held_out),
        holdout_rows=held_out.num_rows,
        without=tuple(sorted(without)),
        judged_from=judged_from,
    )


def read_rows(rows: Dataset, snapshot: Snapshot) -> pa.Table:
    """The rows to learn from in the source's columns, in the order in which they arrived."""
    return parted(read_stamped(rows, snapshot), snapshot)[0].drop_columns(list(ARRIVAL_COLUMNS))


def read_stamped(rows: Dataset, snapshot: Snapshot) -> pa.Table:
    """The rows of a snapshot in the order in which they arrived, each with its arrival.

    Where the holdout moves, the rows that judge are among them.

    Raises:
        CorruptTable: they are not those that came in, or that the snapshot is of.
    """
    stamped = _learned(rows.read(snapshot.dataset_version), snapshot.without)
    integrity.check(stamped, rows.uri)
    learned, judging = parted(stamped.select(_telling(stamped.schema)), snapshot)
    _same(rows, learned, snapshot.digest)
    if snapshot.judged_from is not None:
        _same(rows, judging, snapshot.holdout_digest)
    return stamped


def parted(stamped: pa.Table, snapshot: Snapshot) -> tuple[pa.Table, pa.Table]:
    """The rows of a snapshot that are learned, and those that judge, none when frozen."""
    if snapshot.judged_from is None:
        return stamped, stamped.slice(0, 0)
    return _parted(stamped, snapshot.judged_from)


def read_holdout(holdout: Dataset, snapshot: Snapshot | None = None) -> pa.Table:
    """The rows that judge, in the source's columns, always in the same order.

    Raises:
        CorruptTable: they are not those that came in, or that the snapshot is of.
    """
    rows = holdout.read()
    integrity.check(rows, holdout.uri)
    if snapshot is not None:
        _same(holdout, rows.select(_telling(rows.schema)), snapshot.holdout_digest)
    return rows.sort_by("digest")


def _same(table: Dataset, rows: pa.Table, digest: str) -> None:
    if (found := _digest(rows)) != digest:
        why = f"its rows give the digest {found[:12]}…, and the snapshot is of {digest[:12]}…"
        raise CorruptTable(table.uri, why)


def _begin(rows: pa.Table, held_days: int) -> str:
    """The first of the newest days of rows."""
    newest = pc.max(rows.column(DAY)).as_py()
    if newest is None:
        raise NotFound("any row that tells its day")
    return (_EPOCH + timedelta(days=newest - held_days + 1)).isoformat()


def _parted(rows: pa.Table, judged_from: str) -> tuple[pa.Table, pa.Table]:
    """The rows before a day, and those from it on."""
    begin = (date.fromisoformat(judged_from) - _EPOCH).days
    judging = pc.greater_equal(rows.column(DAY), begin)
    return rows.filter(pc.invert(judging)), rows.filter(judging)


def _learned(rows: pa.Table, without: Collection[str]) -> pa.Table:
    """The rows of all arrivals but those left out."""
    if without:
        left_out = pc.is_in(rows.column("arrival"), pa.array(sorted(without), pa.string()))
        rows = rows.filter(pc.invert(left_out))
    return _first_of_each(rows)


def _first_of_each(rows: pa.Table) -> pa.Table:
    """Rows by arrival; of equal ones, which two ingests at once can let in, the first."""
    ordered = pc.sort_indices(rows.select(list(ARRIVAL_COLUMNS)), sort_keys=_OLDEST_FIRST)
    digests = rows.column("digest").take(ordered).to_numpy(zero_copy_only=False)
    _, first = np.unique(digests.astype("S64"), return_index=True)
    return rows.take(ordered.take(pa.array(np.sort(first))))


def _telling(schema: pa.Schema) -> list[str]:
    """The columns that tell rows apart without their bulk, which `digest` stands for."""
    return [field.name for field in schema if not pa.types.is_binary(field.type)]


def _digest(rows: pa.Table) -> str:
    """sha256 over the sorted rows, each as the text of its columns in order of their names."""
    names = sorted(set(rows.column_names) - set(ARRIVAL_COLUMNS))
    texts = [rows.column(name).cast(pa.string()) for name in names]
    lines = pc.binary_join_element_wise(
        *texts, "\t", null_handling="replace", null_replacement="\\N"
    )
    text = "\n".join(["\t".join(names), *sorted(lines.to_pylist())])
    return hashlib.sha256(text.encode()).hexdigest()
