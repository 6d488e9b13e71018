"""Vacuum removes the files that no version needs, and no others."""

import os
import time
from pathlib import Path

import pytest
from deltalake import write_deltalake

from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import NotFound
from tests.support import filled_bucket

DAYS_AGO = time.time() - 3 * 86_400


@pytest.fixture
def table(tmp_path: Path) -> Dataset:
    """Three appends, then everything replaced by something else, all of it three days ago."""
    table = Dataset.in_folder(tmp_path, "digits", "rows")
    for number in (1, 2, 3):
        table.append(filled_bucket.rows(f"night-{number}"), f"night-{number}")
    write_deltalake(table.uri, filled_bucket.rows("anew"), mode="overwrite")
    (Path(table.uri) / "part-of-a-killed-append.parquet").write_bytes(b"?")
    for file in Path(table.uri).glob("*.parquet"):
        os.utime(file, (DAYS_AGO, DAYS_AGO))
    return table


def vacuum(table: Dataset, keep: list[int], **how) -> tuple[str, ...]:
    there = [path.name for path in Path(table.uri).iterdir()]
    return table.vacuum(keep, there=there, **how)


def test_files_of_a_version_are_named_with_their_sizes(table):
    files = table.files(2)

    assert len(files) == 2
    for name, size in files.items():
        assert (Path(table.uri) / name).stat().st_size == size
    with pytest.raises(NotFound):
        table.files(99)


def test_a_dry_run_names_the_unneeded_files_and_removes_nothing(table):
    before = sorted(Path(table.uri).iterdir())

    files = vacuum(table, [2, 77], hours=0, delete=False)

    assert set(files) == {"part-of-a-killed-append.parquet", *table.files(3)} - {*table.files(2)}
    assert sorted(Path(table.uri).iterdir()) == before


def test_versions_that_are_kept_and_the_newest_can_still_be_read(table):
    vacuum(table, [2], hours=0, delete=True)

    assert table.read(2).num_rows == 10
    assert table.read().num_rows == sum(part.num_rows for part in table.all_batches()) == 5
    assert vacuum(table, [2], hours=0, delete=True) == ()


def test_recent_files_are_kept_as_they_may_belong_to_a_commit_in_progress(table):
    new = Path(table.uri) / "part-under-way.parquet"
    new.write_bytes(b"?")

    files = vacuum(table, [1, 2, 3], hours=48, delete=True)

    assert files == ("part-of-a-killed-append.parquet",)
    assert new.exists()


def test_a_missing_table_has_nothing_to_vacuum(tmp_path):
    table = Dataset.in_folder(tmp_path, "digits", "rows")

    assert table.vacuum([], there=[], hours=0, delete=True) == ()
