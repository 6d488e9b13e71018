"""A file that changes after it was ingested is noticed, until somebody ingests it by hand."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from overnight.models.definition import Places
from overnight.models.sources.csv_folder import CsvFolder
from overnight.store.objects.digests import digest
from overnight.tasks.data.land import arrival_name
from tests.support.letters_source import LettersDataset

COLUMNS = pa.schema([("letter", pa.string())])
HALF, WHOLE = b"letter\na\nb\n", b"letter\na\nb\nc\nd\n"
LONG_AGO = 1_700_000_000


@pytest.fixture
def dataset(tmp_path: Path) -> LettersDataset:
    """A folder with a file of which one half was there when it was ingested."""
    write(tmp_path / "holdout.csv", b"letter\nz\n")
    write(tmp_path / "night-0002.csv", HALF)
    places = Places(folder=tmp_path, cache=tmp_path)
    source = CsvFolder(places, model="letters", columns=COLUMNS, same_by=("letter",))
    dataset = LettersDataset(tmp_path, source=source)
    assert dataset.ingest().rows_added == 2
    return dataset


def write(path: Path, body: bytes, *, at: float = LONG_AGO) -> None:
    path.write_bytes(body)
    os.utime(path, (at, at))


def test_a_file_that_grew_is_reported_with_what_to_do(dataset: LettersDataset) -> None:
    write(dataset.folder / "night-0002.csv", WHOLE)

    (notice,) = dataset.ingest().notices

    assert "night-0002.csv changed after it was ingested as night-0002 (11 bytes then, 15" in notice
    assert f"`overnight ingest letters {dataset.folder / 'night-0002.csv'}`" in notice


def test_other_bytes_of_the_same_size_are_reported_and_a_touched_file_is_not(
    dataset: LettersDataset,
) -> None:
    later = datetime.now(UTC).timestamp() + 60
    write(dataset.folder / "night-0002.csv", HALF, at=later)
    touched = dataset.ingest().notices
    write(dataset.folder / "night-0002.csv", HALF.replace(b"b", b"c"), at=later)

    assert touched == ()
    assert len(dataset.ingest().notices) == 1


def test_once_ingested_by_hand_it_is_reported_no_more_and_all_its_rows_are_there(
    dataset: LettersDataset,
) -> None:
    write(dataset.folder / "night-0002.csv", WHOLE)
    name = arrival_name({"night-0002.csv": digest(WHOLE)})
    dataset.drop(name, **{"night-0002.csv": WHOLE})

    ingested, after = dataset.ingest(), dataset.ingest()

    assert (ingested.rows_added, dataset.letters()) == (2, "abcd")
    assert after.notices == ()
