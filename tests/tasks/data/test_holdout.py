"""A frozen holdout is checked before it is frozen, and again before it judges."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from overnight.models.definition import ModelDefinition, Places
from overnight.models.sources.csv_folder import CsvFolder
from overnight.store.datasets.delta_table import Dataset
from overnight.store.objects.memory import MemoryBucket
from overnight.tasks.data.admission import Ingested
from overnight.tasks.data.holdout import check_holdout
from overnight.tasks.data.ingest import ingest
from tests.support.small_models import sales, strokes

PIXELS = ",".join(f"pixel{number:02d}" for number in range(64))


def images(*labels: object) -> str:
    """A CSV of the starter's columns, with an image of its own in each row."""
    rows = [f"{label}," + ",".join([str(row)] * 64) for row, label in enumerate(labels)]
    return "\n".join([f"label,{PIXELS}", *rows, ""])


def ingest_folder(folder: Path, definition: ModelDefinition) -> Ingested:
    source = definition.open_source(Places(folder=folder, cache=folder))
    assert isinstance(source, CsvFolder)
    rows, holdout = (Dataset.in_folder(folder, "starter", table) for table in ("rows", "holdout"))
    return ingest(
        source, MemoryBucket(), rows, holdout, model="starter", take_next=True,
        check_holdout=lambda table, file: check_holdout(table, definition, file=file),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ("1", "2", "3", "4"),
            "1 of 4 values are outside INT32 from 0 to 3, the first is 4",
        ),
        (("0", "-1"), "the first is -1; the first in row 2"),
        (("0", "1", ""), "label"),
        ((), "no row"),
    ],
    ids=["from 1 to n", "below zero", "missing", "no rows"],
)
def test_a_wrong_holdout_is_refused_by_file_and_row_and_can_be_corrected(
    tmp_path: Path, labels: tuple[str, ...], message: str
) -> None:
    (tmp_path / "holdout.csv").write_text(images(*labels))
    (tmp_path / "night-0001.csv").write_text(images(*[0] * 20, *[3] * 20))

    refused = ingest_folder(tmp_path, strokes.DEFINITION)
    (tmp_path / "holdout.csv").write_text(images(0, 1, 2, 3))
    ingested = ingest_folder(tmp_path, strokes.DEFINITION)

    (finding,) = refused.findings
    assert (refused.arrivals, finding.slice) == ((), "holdout.csv")
    assert message in finding.message
    assert ingested.arrivals == ("night-0001",)


def test_a_missing_number_is_refused_by_column_and_row() -> None:
    rows = pa.table({
        "day": pa.array([1, 2], pa.int32()), "store": ["north", "east"],
        "weekday": pa.array([1, 2], pa.int32()), "yesterday": pa.array([1, 2], pa.float32()),
        "week_ago": pa.array([1, 2], pa.float32()), "units": pa.array([1, None], pa.float32()),
        "digest": ["a" * 64, "b" * 64],
    })  # fmt: skip

    (finding,) = check_holdout(rows, sales.DEFINITION, file="holdout.csv")

    assert (
        finding.message
        == "units: 1 of 2 values are missing, at most 0.0% may be; the first in row 2"
    )


def test_what_the_model_makes_of_the_rows_is_checked_without_any_declared_column() -> None:
    undeclared = replace(
        strokes.DEFINITION, data_gates=replace(strokes.DEFINITION.data_gates, columns=())
    )
    rows = pa.table({
        "label": pa.array([0, 7], pa.int32()),
        **{f"pixel{number:02d}": pa.array([1, 2], pa.int32()) for number in range(64)},
    })  # fmt: skip

    (finding,) = check_holdout(rows, undeclared, file="holdout.csv")
    (frozen,) = check_holdout(rows, undeclared, frozen=True)

    assert "expected a class from 0 to 3 (lying, standing, rising, falling), found 7 in row 2" in (
        finding.message
    )
    assert "remove everything under datasets/starter/holdout" in frozen.message


def test_a_class_without_rows_is_reported_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "holdout.csv").write_text(images(0, 1, 2))
    (tmp_path / "night-0001.csv").write_text(images(*[0] * 20, *[3] * 20))

    ingested = ingest_folder(tmp_path, strokes.DEFINITION)

    assert ingested.arrivals == ("night-0001",)
    assert "holdout.csv has no row of falling" in ingested.notices[0]
