"""Bad lines of a file are kept in quarantine by number, and its other lines are ingested."""

from pathlib import Path

import pyarrow as pa
import pytest

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Places
from overnight.models.sources.csv_folder import CsvFolder
from overnight.store.schema import TensorSpec
from tests.support.letters_source import LettersDataset
from tests.support.limits import LIMIT

COLUMNS = pa.schema(
    [pa.field("letter", pa.string(), nullable=False), pa.field("units", pa.float32())]
)
HEADER = b"letter,units\n"


@pytest.fixture
def dataset(tmp_path: Path) -> LettersDataset:
    (tmp_path / "holdout.csv").write_bytes(HEADER + b"z,1\n")
    source = CsvFolder(
        Places(folder=tmp_path, cache=tmp_path),
        model="letters",
        columns=COLUMNS,
        same_by=("letter",),
    )
    return LettersDataset(tmp_path, source=source)


def kept(dataset: LettersDataset) -> list[bytes]:
    keys = dataset.bucket.keys_below("landing/letters/quarantine")
    return [dataset.bucket.read(key, LIMIT) for key in keys if not key.endswith(".json")]


def test_bad_lines_are_kept_apart_and_the_others_come_in(dataset: LettersDataset) -> None:
    dataset.drop("by-hand", a=HEADER + b"a,1\nb,1 pc\n,2\nc,3\n")

    ingested = dataset.ingest(take_next=False)

    assert dataset.letters() == "ac"
    (bad,) = ingested.quarantined
    assert bad.file == "a"
    assert "2 that will not do: line 3: units: invalid value '1 pc'" in bad.reason
    assert "; line 4: letter: no value" in bad.reason
    assert kept(dataset) == [b"b,1 pc\n,2\n"]


def test_of_a_refused_arrival_the_whole_file_is_kept(dataset: LettersDataset) -> None:
    body = HEADER + b"a,1\nb,1 pc\nc,900\n"
    dataset.drop("by-hand", a=body)
    units = Column(TensorSpec(name="units", datatype="FP32", shape=(), maximum=10))

    ingested = dataset.ingest(take_next=False, gates=DataGates(columns=(units,)))

    assert ingested.rows_added == 0
    assert [bad.file for bad in ingested.quarantined] == ["a"]
    assert kept(dataset) == [body]


def test_without_any_valid_line_the_whole_file_is_kept(dataset: LettersDataset) -> None:
    body = HEADER + b",1\nb,1 pc\n"
    dataset.drop("by-hand", a=body, b=HEADER + b"c,1\n")

    ingested = dataset.ingest(take_next=False)

    assert dataset.letters() == "c"
    assert "found line 2: letter: no value" in ingested.quarantined[0].reason
    assert kept(dataset) == [body]
