"""Datasets: every arrival exactly once, every version readable."""

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import (
    AlreadyExists,
    NotFound,
    OvernightError,
    StoreDenied,
    StoreUnavailable,
)
from overnight.store.objects.s3 import S3Address

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.servers)])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    if request.param == "folder":
        yield Dataset.in_folder(tmp_path, "digits", "rows")
    else:
        bucket = request.getfixturevalue("s3_bucket")
        yield Dataset.on_s3(bucket.address, "digits", "rows")


def rows(*digests: str) -> pa.Table:
    images = pa.array([digest.encode().ljust(4) for digest in digests], pa.binary(4))
    return pa.table({"image": images, "digest": pa.array(digests, pa.string())})


def test_a_dataset_is_empty_before_the_first_arrival(dataset: Dataset) -> None:
    assert dataset.version() is None
    assert dataset.arrival_names() == set()
    assert dataset.digests() == set()
    with pytest.raises(NotFound):
        dataset.read()


def test_rows_are_read_back_with_all_columns_or_some(dataset: Dataset) -> None:
    version = dataset.append(rows("a", "b"), "night-0000")

    assert dataset.version() == version
    assert sorted(dataset.read().column("image").to_pylist()) == [b"a   ", b"b   "]
    assert dataset.read(version, ["digest"]).column_names == ["digest"]
    assert dataset.digests() == {"a", "b"}
    assert dataset.arrival_names() == {"night-0000"}


def test_every_earlier_version_stays_readable(dataset: Dataset) -> None:
    first = dataset.append(rows("a"), "one")
    second = dataset.append(rows("b"), "two")

    assert dataset.digests(first) == {"a"}
    assert dataset.digests(second) == {"a", "b"}
    with pytest.raises(NotFound, match="version"):
        dataset.read(second + 1)


def test_versions_older_than_a_checkpoint_stay_readable(tmp_path: Path) -> None:
    dataset = Dataset.in_folder(tmp_path, "digits", "rows")
    first = dataset.append(rows("0"), "0")
    # Every hundred versions, unless a table says otherwise.
    DeltaTable(dataset.uri).alter.set_table_properties({"delta.checkpointInterval": "5"})
    for number in range(1, 12):
        dataset.append(rows(str(number)), str(number))

    assert list(tmp_path.rglob("*.checkpoint.parquet"))
    assert dataset.digests(first) == {"0"}
    assert len(dataset.arrival_names()) == 12
    with pytest.raises(AlreadyExists):
        dataset.append(rows("x"), "0")


def test_an_arrival_without_rows_is_recorded(dataset: Dataset) -> None:
    dataset.append(rows(), "empty")

    assert dataset.arrival_names() == {"empty"}
    assert dataset.read().num_rows == 0


def test_an_arrival_is_refused_the_second_time(dataset: Dataset) -> None:
    dataset.append(rows("a"), "one")

    with pytest.raises(AlreadyExists, match="arrival one"):
        dataset.append(rows("b"), "one")

    assert dataset.digests() == {"a"}


def test_of_many_threads_with_the_same_arrival_exactly_one_adds_it(dataset: Dataset) -> None:
    dataset.append(rows("a"), "zero")
    outcomes = _at_once(6, lambda number: dataset.append(rows(f"b{number}"), "one"))

    lost = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [type(error) for error in lost] == [AlreadyExists] * 5
    assert len(dataset.digests()) == 2


def test_many_threads_with_different_arrivals_all_add_theirs(dataset: Dataset) -> None:
    outcomes = _at_once(6, lambda number: dataset.append(rows(f"b{number}"), f"n{number}"))

    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert dataset.digests() == {f"b{number}" for number in range(6)}


@pytest.mark.servers
def test_of_many_processes_with_the_same_arrival_exactly_one_adds_it(tmp_path: Path) -> None:
    dataset = Dataset.in_folder(tmp_path, "digits", "rows")
    dataset.append(rows("a"), "zero")
    go = SPAWN.Barrier(3)
    processes = [
        SPAWN.Process(target=_append, args=(tmp_path, f"b{number}", go)) for number in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert sorted(process.exitcode for process in processes) == [0, 3, 3]
    assert len(dataset.digests()) == 2


def test_other_engines_can_read_the_table(tmp_path: Path) -> None:
    dataset = Dataset.in_folder(tmp_path, "digits", "rows")
    dataset.append(rows("a"), "one")

    table = DeltaTable(dataset.uri)

    assert table.transaction_version("one") == 1
    assert table.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"


def test_a_store_that_is_down_is_reported_within_seconds() -> None:
    dataset = Dataset.on_s3(S3Address("http://127.0.0.1:9", "bucket", "a", "s"), "digits", "rows")

    for operation in (dataset.version, dataset.read, lambda: dataset.append(rows("a"), "one")):
        with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:9 .*Connection refused"):
            operation()


@pytest.mark.servers
def test_wrong_credentials_and_missing_buckets_are_reported_as_such(s3_address: S3Address) -> None:
    wrong = S3Address(s3_address.endpoint, s3_address.bucket, s3_address.access_key, "wrong")

    with pytest.raises(StoreDenied, match="SignatureDoesNotMatch"):
        Dataset.on_s3(wrong, "digits", "rows").version()
    with pytest.raises(StoreDenied, match="NoSuchBucket"):
        Dataset.on_s3(s3_address, "digits", "rows").append(rows("a"), "one")


def _at_once(count: int, act) -> list[object]:
    barrier = threading.Barrier(count)
    outcomes: list[object] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        try:
            outcomes[number] = act(number)
        except OvernightError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _append(folder: Path, digest: str, go) -> None:
    """In a process of its own: exit code 0 when it added its row, 3 when another had."""
    go.wait()
    try:
        Dataset.in_folder(folder, "digits", "rows").append(rows(digest), "one")
    except AlreadyExists:
        raise SystemExit(3) from None
