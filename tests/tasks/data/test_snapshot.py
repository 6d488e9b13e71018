"""Snapshots: the same rows always have the same name and come in the same order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.digits.rows import Digits, as_rows
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptTable, NotFound
from overnight.tasks.data.snapshot import read_holdout, read_rows, snapshot

AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def rows(letters: str, labels: str, arrival: str, days: int = 0) -> pa.Table:
    n = len(letters)
    return pa.table(
        {
            "label": pa.array([int(label) for label in labels], pa.int8()),
            "digest": pa.array(letters, pa.string()),
            "arrival": [arrival] * n,
            "arrived_at": pa.array([AT + timedelta(days=days)] * n, pa.timestamp("us", "UTC")),
            "arrival_row": pa.array(range(n), pa.int64()),
        }
    )


def held_out(letters: str = "yx") -> pa.Table:
    return pa.table({"label": pa.array([1] * len(letters), pa.int8()), "digest": list(letters)})


class Tables:
    def __init__(self, folder: Path, *arrivals: pa.Table) -> None:
        self.rows = Dataset.in_folder(folder, "letters", "rows")
        self.holdout = Dataset.in_folder(folder, "letters", "holdout")
        self.holdout.append(held_out(), "holdout")
        for arrival in arrivals:
            self.rows.append(arrival, arrival.column("arrival")[0].as_py())


def test_a_snapshot_counts_rows_arrivals_and_holdout(tmp_path: Path) -> None:
    tables = Tables(tmp_path, rows("ab", "12", "one"), rows("c", "3", "two", days=1))

    recorded = snapshot(tables.rows, tables.holdout)

    assert (recorded.dataset_version, recorded.rows, recorded.arrivals, recorded.holdout_rows) == (
        2,
        3,
        2,
        2,
    )
    assert recorded.lineage.digest == recorded.digest


def test_rows_are_in_order_of_arrival(tmp_path: Path) -> None:
    tables = Tables(tmp_path, rows("ba", "21", "later", days=1), rows("dc", "43", "earlier"))

    read = read_rows(tables.rows, snapshot(tables.rows, tables.holdout))

    assert read.column_names == ["label", "digest"]
    assert read.column("digest").to_pylist() == ["d", "c", "b", "a"]
    assert read_holdout(tables.holdout).column("digest").to_pylist() == ["x", "y"]


def test_of_rows_ingested_twice_the_first_counts(tmp_path: Path) -> None:
    tables = Tables(tmp_path, rows("ab", "99", "later", days=1), rows("cb", "12", "earlier"))

    recorded = snapshot(tables.rows, tables.holdout)

    assert recorded.rows == 3
    read = read_rows(tables.rows, recorded)
    assert read.column("digest").to_pylist() == ["c", "b", "a"]
    assert read.column("label").to_pylist() == [1, 2, 9]


def test_the_digest_does_not_depend_on_arrivals(tmp_path: Path) -> None:
    together = Tables(tmp_path / "1", rows("abc", "123", "one"))
    apart = Tables(tmp_path / "2", rows("cb", "32", "x", days=3), rows("a", "1", "y"))

    assert (
        snapshot(together.rows, together.holdout).digest
        == snapshot(apart.rows, apart.holdout).digest
    )


@pytest.mark.parametrize("other", [("abd", "123"), ("abc", "124"), ("ab", "12")])
def test_other_rows_and_other_labels_have_another_digest(
    tmp_path: Path, other: tuple[str, str]
) -> None:
    first = Tables(tmp_path / "1", rows("abc", "123", "one"))
    second = Tables(tmp_path / "2", rows(*other, "one"))

    digests = {snapshot(item.rows, item.holdout).digest for item in (first, second)}

    assert len(digests) == 2


def test_a_snapshot_is_unchanged_by_later_arrivals(tmp_path: Path) -> None:
    tables = Tables(tmp_path, rows("ab", "12", "one"))
    recorded = snapshot(tables.rows, tables.holdout)

    tables.rows.append(rows("c", "3", "two", days=1), "two")

    assert read_rows(tables.rows, recorded).column("digest").to_pylist() == ["a", "b"]


def test_without_any_arrival_there_is_no_snapshot(tmp_path: Path) -> None:
    tables = Tables(tmp_path)

    with pytest.raises(NotFound, match="rows does not exist"):
        snapshot(tables.rows, tables.holdout)


def pictures(n: int, *, spoiled: int = 0) -> pa.Table:
    """Rows with images, one bit of each of the first `spoiled` turned over since it came in."""
    pixels = np.random.default_rng(1).integers(0, 256, (n, 28, 28)).astype(np.uint8)
    arrived = as_rows(Digits(pixels, np.zeros(n, np.int8)))
    stamps = rows("a" * n, "0" * n, "one").drop_columns(["label", "digest"])
    for name in stamps.column_names:
        arrived = arrived.append_column(name, stamps.column(name))
    if not spoiled:
        return arrived
    pixels[:spoiled, 14, 14] ^= 1
    result = as_rows(Digits(pixels, np.zeros(n, np.int8)))
    return arrived.set_column(0, "image", result.column("image"))


def test_rows_that_differ_from_their_digests_are_not_learned(tmp_path: Path) -> None:
    tables = Tables(tmp_path, pictures(50, spoiled=1))
    recorded = snapshot(tables.rows, tables.holdout)

    with pytest.raises(CorruptTable, match="1 of 50 rows differ from what was ingested"):
        read_rows(tables.rows, recorded)
    with pytest.raises(CorruptTable, match="1 of 50 rows differ from what was ingested"):
        read_holdout(tables.rows)


def test_digests_of_something_else_than_the_bytes_are_accepted(tmp_path: Path) -> None:
    tables = Tables(tmp_path, pictures(50, spoiled=50))

    assert read_rows(tables.rows, snapshot(tables.rows, tables.holdout)).num_rows == 50


def test_other_rows_than_those_of_the_snapshot_are_not_learned(tmp_path: Path) -> None:
    tables = Tables(tmp_path, rows("ab", "12", "one"))
    recorded = snapshot(tables.rows, tables.holdout)
    other = replace(recorded, digest="0" * 64, holdout_digest="0" * 64)

    with pytest.raises(CorruptTable, match="expected 000000000000… of the snapshot"):
        read_rows(tables.rows, other)
    with pytest.raises(CorruptTable, match="expected 000000000000… of the snapshot"):
        read_holdout(tables.holdout, other)
