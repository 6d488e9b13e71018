"""Snapshot: the exact rows a version is trained and judged on, named by their contents."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from store.datasets import Dataset
from store.manifest import DataLineage
from tasks.ingest import ARRIVAL_COLUMNS

_OLDEST_FIRST = [(name, "ascending") for name in ("arrived_at", "arrival", "arrival_row")]


@dataclass(frozen=True)
class Snapshot:
    """One version of a dataset. The digests depend on the rows alone, not on how they came."""

    dataset_version: int
    digest: str
    rows: int
    arrivals: int
    holdout_digest: str
    holdout_rows: int

    @property
    def lineage(self) -> DataLineage:
        """What a manifest says of it."""
        return DataLineage(**asdict(self))


def snapshot(rows: Dataset, holdout: Dataset, *, version: int | None = None) -> Snapshot:
    """The rows of a version of the dataset, the newest unless told, and the holdout.

    Raises:
        NotFound: nothing was ever taken in, or there is no such version.
    """
    version = rows.version() if version is None else version
    schema = rows.schema(version)
    learned = _first_of_each(rows.read(version, _telling(schema)))
    held_out = holdout.read(columns=_telling(holdout.schema()))
    return Snapshot(
        dataset_version=version or 0,
        digest=_digest(learned),
        rows=learned.num_rows,
        arrivals=len(learned.column("arrival").unique()),
        holdout_digest=_digest(held_out),
        holdout_rows=held_out.num_rows,
    )


def read_rows(rows: Dataset, snapshot: Snapshot) -> pa.Table:
    """The rows of a snapshot in the source's columns, in the order in which they arrived."""
    return _first_of_each(rows.read(snapshot.dataset_version)).drop_columns(list(ARRIVAL_COLUMNS))


def read_holdout(holdout: Dataset) -> pa.Table:
    """The rows that judge, in the source's columns, always in the same order."""
    return holdout.read().sort_by("digest")


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
