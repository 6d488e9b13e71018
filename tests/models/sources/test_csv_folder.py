"""A folder of CSV files is taken in file by file, whatever the files are called."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from overnight.models.definition import Places
from overnight.models.errors import SourceUnavailable
from overnight.models.sources.csv_folder import CsvFolder
from overnight.store.objects import keys

COLUMNS = pa.schema([("n", pa.int64())])


@pytest.fixture
def source(tmp_path: Path) -> CsvFolder:
    for name in ("a night.csv", "b-night.csv", "c/é.csv".replace("/", "|"), "holdout.csv"):
        (tmp_path / name).write_text("n\n1\n")
    return CsvFolder(
        Places(folder=tmp_path, cache=tmp_path), model="letters", columns=COLUMNS, same_by=("n",)
    )


def test_every_file_is_delivered_once_under_a_name_that_an_arrival_can_have(
    source: CsvFolder,
) -> None:
    delivered: dict[str, str] = {}
    while (found := source.deliver(delivered)) is not None:
        assert found.name not in delivered
        (delivered[found.name],) = found.files

    assert list(delivered.values()) == ["a night.csv", "b-night.csv", "c|é.csv"]
    assert [keys.check(name) for name in delivered] == list(delivered)
    assert "b-night" in delivered


def test_files_in_gzip_or_of_upper_case_are_arrivals_and_never_the_holdout(
    tmp_path: Path,
) -> None:
    source = CsvFolder(
        Places(folder=tmp_path, cache=tmp_path),
        model="letters", columns=COLUMNS, same_by=("n",), wait=_at_once,
    )  # fmt: skip
    for name in ("Holdout.CSV", "a.CSV", "a.csv", "b.csv.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"n\n1\n") if name[-1] == "z" else b"n\n1\n")

    delivered: dict[str, str] = {}
    while (found := source.deliver(delivered)) is not None:
        (delivered[found.name],) = found.files
        assert source.read(found.files).rows.num_rows == 1

    assert delivered == {"a.CSV": "a.CSV", "a": "a.csv", "b.csv.gz": "b.csv.gz"}
    assert source.holdout().num_rows == 1


def test_two_holdouts_are_refused_by_their_names(tmp_path: Path, source: CsvFolder) -> None:
    (tmp_path / "holdout.csv.gz").write_bytes(b"")

    with pytest.raises(SourceUnavailable, match=r"holdout\.csv and holdout\.csv\.gz"):
        source.holdout()


def _at_once(_: float) -> None:
    """Nobody writes."""
