"""Validate: each way in which rows can be wrong is found, and named with figures."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.digits import DEFINITION
from overnight.models.digits.rows import Digits, as_rows
from overnight.store.registry.manifest import Finding
from overnight.store.schema import TensorSpec
from overnight.tasks.data.snapshot import Snapshot
from overnight.tasks.data.validate import validate

PIXELS = np.random.default_rng(1).integers(0, 256, (1_000, 28, 28)).astype(np.uint8)
LABELS = (np.arange(1_000) % 10).astype(np.int8)
ROWS = as_rows(Digits(PIXELS, LABELS))
HOLDOUT = as_rows(Digits(255 - PIXELS[:10], LABELS[:10]))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SNAPSHOT = Snapshot(3, "d", 1_000, 1, "h", 10)


def with_column(name: str, values: pa.Array) -> pa.Table:
    return ROWS.set_column(ROWS.column_names.index(name), name, values)


def failed(rows: pa.Table, *, definition=DEFINITION, holdout=HOLDOUT) -> list[Finding]:
    snapshot = replace(SNAPSHOT, rows=rows.num_rows)
    result = validate(rows, snapshot, definition, holdout=holdout, now=NOW)
    return [finding for finding in result if not finding.passed]


def test_good_rows_pass_every_check_and_every_check_is_reported() -> None:
    findings = validate(ROWS, SNAPSHOT, DEFINITION, holdout=HOLDOUT, now=NOW)

    assert all(finding.passed for finding in findings)
    assert [(finding.gate, finding.metric) for finding in findings[:7]] == [
        ("whole snapshot", "rows"),
        ("enough rows", "rows"),
        ("as declared", "image"),
        ("as declared", "label"),
        ("holdout kept out", "holdout rows"),
        ("tensor", "image"),
        ("known labels", "unknown labels"),
    ]
    assert [finding.slice for finding in findings[7:]] == list(DEFINITION.tensors.labels)


def test_rows_that_are_not_the_snapshot_are_found() -> None:
    findings = validate(ROWS[:-1], SNAPSHOT, DEFINITION, holdout=HOLDOUT, now=NOW)

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

    assert (finding.gate, finding.metric, finding.value) == ("in range", "label", 1)
    assert "the first is 11" in finding.message


def test_an_undeclared_label_is_found() -> None:
    labels = pa.array(np.where(LABELS == 3, 11, LABELS), pa.int8())
    undeclared = replace(DEFINITION, data_gates=replace(DEFINITION.data_gates, columns=()))

    findings = failed(with_column("label", labels), definition=undeclared)

    assert findings[0].gate == "known labels"
    assert "11 in 100 rows" in findings[0].message


@pytest.mark.parametrize("name", ["label", "image", "digest"])
def test_missing_values_are_found(name: str) -> None:
    values = ROWS.column(name).to_pylist()
    values[5] = None

    (finding,) = failed(with_column(name, pa.array(values, ROWS.schema.field(name).type)))

    assert (finding.gate, finding.metric) == ("nothing missing", name)
    declared = name in {column.tensor.name for column in DEFINITION.data_gates.columns}
    remedy = "" if declared else "; a Column of it with a missing_share allows gaps"
    assert finding.message == f"{name}: 1 of 1,000 values are missing, at most 0.0% may be{remedy}"


def test_an_image_of_the_wrong_size_is_found() -> None:
    images = ROWS.column("image").to_pylist()
    images[5] = images[5][:-1]

    (finding,) = failed(with_column("image", pa.array(images, pa.binary())))

    assert (finding.gate, finding.metric) == ("in range", "image")
    assert "1 of 1,000 values are outside 28 × 28 of UINT8, the first is 783" in finding.message


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_missing_column_is_found(name: str) -> None:
    (finding,) = failed(ROWS.drop_columns([name]))

    assert (finding.gate, finding.metric) == ("column present", name)


def test_rows_that_make_no_examples_are_found() -> None:
    images = pa.array([b"1" * 783] * 1_000, pa.binary())
    undeclared = replace(DEFINITION, data_gates=replace(DEFINITION.data_gates, columns=()))

    findings = failed(with_column("image", images), definition=undeclared)

    assert findings[-1].gate == "readable"
    assert "the first, row 0, has 783" in findings[-1].message


@pytest.mark.parametrize(
    ("spec", "reported"),
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
def test_tensors_that_are_not_as_declared_are_found(spec: TensorSpec, reported: str) -> None:
    tensors = DEFINITION.tensors.model_copy(update={"inputs": (spec,)})

    (finding,) = failed(ROWS, definition=replace(DEFINITION, tensors=tensors))

    assert (finding.gate, finding.metric) == ("tensor", spec.name)
    assert reported in finding.message


def test_no_rows_at_all_are_found() -> None:
    assert {finding.gate for finding in failed(ROWS[:0])} == {"enough rows", "every class"}


@pytest.mark.parametrize(("days", "passed"), [(6.99, True), (7, True), (7.01, False)])
def test_rows_are_stale_when_the_newest_is_older_than_declared(days: float, passed: bool) -> None:
    newest = NOW - timedelta(days=days)
    arrived = [newest - timedelta(days=30)] * 999 + [newest]

    finding = freshness(pa.array(arrived, pa.timestamp("us", "UTC")))

    assert finding.passed is passed
    assert f"the newest arrived_at is {days:.1f} days old, at most 7 may be" in finding.message


def test_a_day_is_as_old_as_its_end() -> None:
    assert freshness(pa.array([date(2026, 11, 16)] * 1_000)).passed
    assert not freshness(pa.array([date(2026, 11, 14)] * 1_000)).passed


@pytest.mark.parametrize(
    "moments", [None, pa.nulls(1_000, pa.timestamp("us")), pa.array([1] * 1_000)]
)
def test_rows_of_unknown_age_are_not_fresh(moments: pa.Array | None) -> None:
    finding = freshness(moments)

    assert not finding.passed
    assert "no date or time to compute an age from" in finding.message


def freshness(moments: pa.Array | None) -> Finding:
    gates = replace(DEFINITION.data_gates, fresh_days=7)
    rows = ROWS if moments is None else ROWS.append_column("arrived_at", moments)
    result = validate(
        rows, SNAPSHOT, replace(DEFINITION, data_gates=gates), holdout=HOLDOUT, now=NOW
    )
    return next(finding for finding in result if finding.gate == "fresh")
