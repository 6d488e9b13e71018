"""Streamed appends: complete files, one commit, exactly once among concurrent writers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import AlreadyExists, IncompatibleColumns

SCHEMA = pa.schema([("number", pa.int64()), ("name", pa.string()), ("digest", pa.string())])


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.servers)])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    if request.param == "folder":
        yield Dataset.in_folder(tmp_path, "items", "rows")
    else:
        bucket = request.getfixturevalue("s3_bucket")
        yield Dataset.on_s3(bucket.address, "items", "rows")


def batch(start: int, end: int) -> pa.RecordBatch:
    numbers = list(range(start, end))
    texts = [str(number) for number in numbers]
    return pa.record_batch([numbers, texts, texts], schema=SCHEMA)


def numbers(dataset: Dataset) -> list[int]:
    return sorted(dataset.read(columns=["number"]).column("number").to_pylist())


def interrupted(act: Callable[[], object]) -> Iterator[pa.RecordBatch]:
    """Rows, while which are written somebody else writes too."""
    yield batch(0, 10)
    act()
    yield batch(10, 20)


def test_many_batches_are_one_version(dataset: Dataset) -> None:
    batches = (batch(start, start + 1_000) for start in range(0, 150_000, 1_000))

    version = dataset.append_batches(SCHEMA, batches, "big")

    assert version == dataset.version() == 1
    assert numbers(dataset) == list(range(150_000))
    assert dataset.arrival_names() == {"big"}
    again = list(dataset.batches(["number"]))
    assert sum(batch.num_rows for batch in again) == 150_000
    assert max(batch.num_rows for batch in again) <= 65_536


def test_an_arrival_may_have_no_rows(dataset: Dataset) -> None:
    dataset.append_batches(SCHEMA, iter(()), "empty")

    assert dataset.arrival_names() == {"empty"}
    assert numbers(dataset) == []


def test_another_writer_of_the_same_arrival_meanwhile_wins(dataset: Dataset) -> None:
    dataset.append_batches(SCHEMA, iter([batch(100, 110)]), "first")
    theirs = pa.Table.from_batches([batch(0, 20)])

    rows = interrupted(lambda: dataset.append(theirs, "second"))
    with pytest.raises(AlreadyExists):
        dataset.append_batches(SCHEMA, rows, "second")

    assert numbers(dataset) == [*range(20), *range(100, 110)]


def test_another_arrival_meanwhile_does_no_harm(dataset: Dataset) -> None:
    dataset.append_batches(SCHEMA, iter([batch(100, 110)]), "first")
    theirs = pa.Table.from_batches([batch(50, 60)])

    rows = interrupted(lambda: dataset.append(theirs, "second"))
    dataset.append_batches(SCHEMA, rows, "third")

    assert numbers(dataset) == [*range(20), *range(50, 60), *range(100, 110)]
    assert dataset.arrival_names() == {"first", "second", "third"}


def test_rows_of_other_types_are_refused_before_any_is_written(dataset: Dataset) -> None:
    dataset.append_batches(SCHEMA, iter([batch(0, 10)]), "first")
    other = pa.schema([("number", pa.string()), ("name", pa.string()), ("digest", pa.string())])

    with pytest.raises(IncompatibleColumns, match="number"):
        dataset.append_batches(other, iter(()), "second")

    assert dataset.arrival_names() == {"first"}


def test_streamed_rows_and_other_rows_are_read_alike(dataset: Dataset) -> None:
    dataset.append(pa.Table.from_batches([batch(0, 10)]), "whole")
    dataset.append_batches(SCHEMA, iter([batch(10, 20)]), "streamed")

    assert numbers(dataset) == list(range(20))
    assert dataset.digests() == {str(number) for number in range(20)}
