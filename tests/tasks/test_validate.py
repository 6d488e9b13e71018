"""Validate: each way in which rows can be wrong is found, and named with figures."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from models.digits import DEFINITION
from models.digits.rows import Digits, as_rows
from store.manifest import Finding
from store.schema import TensorSpec
from tasks.snapshot import Snapshot
from tasks.validate import validate

PIXELS = np.random.default_rng(1).integers(0, 256, (1_000, 28, 28)).astype(np.uint8)
LABELS = (np.arange(1_000) % 10).astype(np.int8)
ROWS = as_rows(Digits(PIXELS, LABELS))
HOLDOUT = as_rows(Digits(255 - PIXELS[:10], LABELS[:10]))
SNAPSHOT = Snapshot(3, "d", 1_000, 1, "h", 10)


def with_column(name: str, values: pa.Array) -> pa.Table:
    return ROWS.set_column(ROWS.column_names.index(name), name, values)


def failed(rows: pa.Table, *, definition=DEFINITION, holdout=HOLDOUT) -> list[Finding]:
    snapshot = replace(SNAPSHOT, rows=rows.num_rows)
    found = validate(rows, snapshot, definition, holdout=holdout)
    return [finding for finding in found if not finding.passed]


def test_good_rows_pass_every_check_and_every_check_is_told() -> None:
    findings = validate(ROWS, SNAPSHOT, DEFINITION, holdout=HOLDOUT)

    assert all(finding.passed for finding in findings)
    assert [finding.gate for finding in findings[:6]] == [
        "whole snapshot",
        "enough rows",
        "nothing missing",
        "holdout kept out",
        "as declared",
        "known labels",
    ]
    assert [finding.slice for finding in findings[6:]] == list(DEFINITION.tensors.labels)


def test_rows_that_are_not_the_snapshot_are_found() -> None:
    findings = validate(ROWS[:-1], SNAPSHOT, DEFINITION, holdout=HOLDOUT)

    assert not findings[0].passed
    assert (findings[0].value, findings[0].bound) == (999, 1_000)


def test_a_holdout_row_among_the_training_rows_is_found() -> None:
    (finding,) = failed(ROWS, holdout=pa.concat_tables([HOLDOUT, ROWS[7:8]]))

    assert finding.gate == "holdout kept out"
    assert finding.value == 1
    assert ROWS.column("digest")[7].as_py() in finding.message
    assert "1 of 11 holdout rows" in finding.message


def test_too_few_rows_and_classes_are_found() -> None:
    findings = failed(ROWS[:195])

    assert [(finding.gate, finding.slice) for finding in findings] == [
        ("enough rows", ""),
        *(("every class", str(label)) for label in range(5, 10)),
    ]
    assert "class 5: 19 rows, at least 20" in findings[1].message


def test_a_missing_class_is_found() -> None:
    (finding,) = failed(with_column("label", pa.array(np.where(LABELS == 7, 1, LABELS), pa.int8())))

    assert (finding.gate, finding.slice, finding.value) == ("every class", "7", 0)


def test_a_label_outside_the_vocabulary_is_found() -> None:
    labels = LABELS.copy()
    labels[3] = 11

    (finding,) = failed(with_column("label", pa.array(labels)))

    assert finding.gate == "known labels"
    assert "11 in 1 rows" in finding.message


@pytest.mark.parametrize("name", ["label", "image", "digest"])
def test_missing_values_are_found(name: str) -> None:
    values = ROWS.column(name).to_pylist()
    values[5] = None

    (finding,) = failed(with_column(name, pa.array(values, ROWS.schema.field(name).type)))

    assert finding.gate == "nothing missing"
    assert finding.message == f"missing values: 1 in {name}"


def test_an_image_of_the_wrong_size_is_found() -> None:
    images = ROWS.column("image").to_pylist()
    images[5] = images[5][:-1]

    (finding,) = failed(with_column("image", pa.array(images, pa.binary())))

    assert finding.gate == "readable"
    assert "1 are not, the first, row 5, has 783" in finding.message


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_missing_column_is_found(name: str) -> None:
    (finding,) = failed(ROWS.drop_columns([name]))

    assert finding.gate == "readable"
    assert name in finding.message


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            TensorSpec(name="image", datatype="FP32", shape=(28, 28)),
            "expected float32, found uint8",
        ),
        (TensorSpec(name="image", datatype="UINT8", shape=(32, 32)), "expected rows of shape [32"),
        (TensorSpec(name="image", datatype="UINT8", shape=(28, 28), maximum=1), "from -inf to 1"),
        (TensorSpec(name="picture", datatype="UINT8", shape=(28, 28)), "no such tensor"),
    ],
)
def test_tensors_that_are_not_as_declared_are_found(spec: TensorSpec, told: str) -> None:
    tensors = DEFINITION.tensors.model_copy(update={"inputs": (spec,)})

    (finding,) = failed(ROWS, definition=replace(DEFINITION, tensors=tensors))

    assert (finding.gate, finding.metric) == ("as declared", spec.name)
    assert told in finding.message


def test_no_rows_at_all_are_found() -> None:
    assert {finding.gate for finding in failed(ROWS[:0])} == {"enough rows", "every class"}
