"""A folder of CSV files is taken in file by file, whatever the files are called."""

from pathlib import Path

import pyarrow as pa
import pytest

from overnight.models.definition import Places
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
