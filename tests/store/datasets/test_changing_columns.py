"""Columns come, go and widen in one table, and every earlier version stays as it was."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, PostCommitHookProperties

from overnight.store.datasets.column_types import fit
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.rewrite import widen
from overnight.store.datasets.table_errors import LostRaceError, translated_errors
from overnight.store.errors import IncompatibleColumns


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.servers)])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    if request.param == "folder":
        yield Dataset.in_folder(tmp_path, "wine", "rows")
    else:
        bucket = request.getfixturevalue("s3_bucket")
        yield Dataset.on_s3(bucket.address, "wine", "rows")


def rows(**columns: object) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def in_order(table: pa.Table) -> list[dict[str, object]]:
    return table.sort_by("digest").to_pylist()


def test_a_new_column_is_null_in_older_rows_and_a_removed_one_in_newer_rows(
    dataset: Dataset,
) -> None:
    before = dataset.append(rows(digest=["a"], acid=[1.5]), "one")

    dataset.append(rows(digest=["b"], sugar=[7]), "two")

    assert in_order(dataset.read()) == [
        {"digest": "a", "acid": 1.5, "sugar": None},
        {"digest": "b", "acid": None, "sugar": 7},
    ]
    assert dataset.columns_with_gaps(["digest", "acid", "sugar", "other"]) == {"acid", "sugar"}
    # And the version that a model was trained on is what it was.
    assert in_order(dataset.read(before)) == [{"digest": "a", "acid": 1.5}]
    assert dataset.columns_with_gaps(["acid"], before) == set()
    assert dataset.arrival_names() == {"one", "two"}


@pytest.mark.parametrize(
    ("then", "now", "kind"),
    [
        (pa.array([3], pa.int32()), pa.array([2**40], pa.int64()), pa.int64()),
        (pa.array([0.5], pa.float32()), pa.array([0.1], pa.float64()), pa.float64()),
        (pa.array([3], pa.int64()), pa.array([0.5], pa.float64()), pa.float64()),
        (pa.array([3], pa.int8()), pa.array([0.5], pa.float32()), pa.float32()),
        (pa.array([3], pa.int32()), pa.array([0.5], pa.float32()), pa.float64()),
        # A night of whole numbers, and one without a single value, change nothing.
        (pa.array([0.5], pa.float64()), pa.array([3], pa.int64()), pa.float64()),
        (pa.array([0.5], pa.float64()), pa.nulls(1), pa.float64()),
    ],
)
def test_a_wider_type_is_carried(
    tmp_path: Path, then: pa.Array, now: pa.Array, kind: pa.DataType
) -> None:
    dataset = Dataset.in_folder(tmp_path, "wine", "rows")
    before = dataset.append(pa.table({"digest": ["a"], "acid": then}), "one")
    later = pa.table({"digest": ["b"], "acid": now})

    dataset.append_batches(later.schema, iter(later.to_batches()), "two")

    read = dataset.read().sort_by("digest").column("acid")
    assert read.type == kind
    assert read.to_pylist() == [*then.to_pylist(), *now.to_pylist()]
    assert dataset.schema(before).field("acid").type == then.type
    assert dataset.read(before).column("acid").to_pylist() == then.to_pylist()


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        ([1.5], ["dry"], "acid: the table holds double, and string came"),
        (["dry"], [1], "acid: the table holds string, and int64 came"),
        # Neither what is there nor what comes is rounded.
        ([2**53 + 1], [0.5], "acid: the table holds double, and int64: Integer value"),
        ([0.5], [2**53 + 1], "acid: the table holds double, and int64: Integer value"),
        ([True], [1], "acid: the table holds bool, and int64 came"),
    ],
)
def test_a_type_that_cannot_hold_both_is_refused_with_a_remedy(
    tmp_path: Path, then: list[object], now: list[object], message: str
) -> None:
    dataset = Dataset.in_folder(tmp_path, "wine", "rows")
    dataset.append(rows(digest=["a"], acid=then), "one")

    with pytest.raises(IncompatibleColumns, match=message) as refused:
        dataset.append(rows(digest=["b"], acid=now), "two")

    assert "under another name that the model declares" in str(refused.value)
    assert dataset.arrival_names() == {"one"}
    assert dataset.read().column("acid").to_pylist() == then


def test_a_name_in_another_case_is_no_new_column() -> None:
    with pytest.raises(IncompatibleColumns, match="Acid: the table holds the column acid"):
        fit(pa.schema([("acid", pa.float64())]), pa.schema([("Acid", pa.float64())]))


def test_an_arrival_that_comes_while_types_widen_stays(tmp_path: Path) -> None:
    dataset = Dataset.in_folder(tmp_path, "wine", "rows")
    dataset.append(pa.table({"digest": ["a"], "acid": pa.array([1], pa.int32())}), "one")
    opened, late = DeltaTable(dataset.uri), DeltaTable(dataset.uri)

    dataset.append(pa.table({"digest": ["b"], "acid": pa.array([2], pa.int32())}), "two")
    widen(opened, {"acid": pa.int64()}, None, after_commit=PostCommitHookProperties())

    assert sorted(dataset.read().column("acid").to_pylist()) == [1, 2]
    assert dataset.schema().field("acid").type == pa.int64()
    # Of two that widen at once, one wins: no row is there twice.
    with (
        pytest.raises(LostRaceError, match="Metadata changed"),
        translated_errors(dataset.uri, where="here", proxy=None),
    ):
        widen(late, {"acid": pa.int64()}, None, after_commit=PostCommitHookProperties())
    assert sorted(dataset.read().column("acid").to_pylist()) == [1, 2]


def test_room_is_made_before_the_rows_come_and_only_once(tmp_path: Path) -> None:
    dataset = Dataset.in_folder(tmp_path, "wine", "rows")
    wider = rows(digest=["b"], acid=[0.5], sugar=[7]).schema
    dataset.evolve(wider)
    assert dataset.version() is None
    dataset.append(rows(digest=["a"], acid=[1]), "one")

    dataset.evolve(wider)
    at = dataset.version()
    dataset.evolve(wider)

    assert dataset.version() == at
    assert dataset.read().to_pylist() == [{"digest": "a", "acid": 1.0, "sugar": None}]
