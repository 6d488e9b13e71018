"""A table of columns, declared once: its rows, inputs, learning, and data gates."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.kinds.table import Table, category, date, number, text
from overnight.models.learner import learn
from overnight.models.sources.declared_rows import DeclaredRows
from overnight.store.encoding import encode, network_inputs
from overnight.store.errors import ConfigurationError
from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.data.column_checks import check_columns

PIXELS = TensorSpec(name="pixels", datatype="UINT8", shape=(2, 2))
OUTCOME = TensorSpec(name="outcome", datatype="INT32", shape=(), vocabulary=("no", "yes"))
TABLE = Table(
    inputs=(
        number("age", minimum=0),
        number("fee", gaps=True),
        category("city", gaps=True),
        text("note", length=3, gaps=True),
        date("since"),
        date("until", gaps=True),
        PIXELS,
    ),
    target=OUTCOME,
    others={"key": pa.string(), "visits": pa.int32()},
)
ROWS = pa.table(
    [
        pa.array([30.0, 40.0, 50.0], pa.float32()),
        pa.array([1.5, None, 2.5], pa.float32()),
        pa.array(["Bonn", None, "Köln"]),
        pa.array(["all is well", None, "Well"]),
        pa.array([0, 1, 2], pa.int32()).cast(pa.date32()),
        pa.array([20779, None, 20781], pa.int32()).cast(pa.date32()),
        pa.array([bytes([n] * 4) for n in range(3)], pa.binary()),
        pa.array(["no", "yes", "no"]),
        pa.array(["a", None, "c"]),
        pa.array([1, 2, 3], pa.int32()),
    ],
    schema=TABLE.columns,
)
SCHEMA = Schema(inputs=TABLE.inputs, outputs=(TensorSpec(name="p", datatype="FP32", shape=(2,)),))


def test_columns_have_the_types_and_gaps_of_their_tensors() -> None:
    assert {field.name: (str(field.type), field.nullable) for field in TABLE.columns} == {
        "age": ("float", False),
        "fee": ("float", True),
        "city": ("string", True),
        "note": ("string", True),
        "since": ("date32[day]", False),
        "until": ("date32[day]", True),
        "pixels": ("binary", False),
        "outcome": ("string", False),
        "key": ("string", True),
        "visits": ("int32", True),
    }


def test_rows_become_what_clients_send_and_the_network_gets_numbers() -> None:
    published = TABLE.arrays(ROWS)

    learned = learn(SCHEMA, TABLE.learned, published, model="m")
    encoded = encode(learned, published)

    assert published["city"].tolist() == ["Bonn", None, "Köln"]
    np.testing.assert_array_equal(published["fee"], np.array([1.5, np.nan, 2.5], np.float32))
    assert published["pixels"].shape == (3, 2, 2)
    assert set(encoded) == {spec.name for spec in network_inputs(learned)}
    np.testing.assert_array_equal(encoded["fee"], np.array([1.5, 2.0, 2.5], np.float32))
    assert encoded["fee_missing"].tolist() == [0, 1, 0]
    names = {spec.name: spec for spec in learned.inputs}
    assert names["city"].vocabulary == ("other", "missing", "Bonn", "Köln")
    assert encoded["city"].tolist() == [2, 1, 3]
    # "well" of either case, padded with 0.
    assert encoded["note"][2].tolist()[1:] == [0, 0]
    assert encoded["note"][2][0] == encoded["note"][0][2]
    assert encoded["since"].tolist() == [0, 1, 2]
    assert encoded["until"].tolist() == [20779, 20780, 20781]
    assert encoded["until_missing"].tolist() == [0, 1, 0]
    assert names["age"].mean == 40
    assert (names["until"].mean, names["until"].deviation) == (20780, 1)


def test_a_column_that_came_later_has_its_default_where_requests_lack_it() -> None:
    later = Schema(
        inputs=(
            number("age"),
            number("visits", default=1),
            category("app", default="none"),
            text("note", length=2, default="well"),
        ),
        outputs=SCHEMA.outputs,
    )
    rows = {
        "age": np.array([30.0, 40.0]),
        "visits": np.array([1.0, 3.0]),
        "app": np.array(["web", "web"], object),
        "note": np.array(["is well", "is well"], object),
    }
    learned = learn(later, Table(later.inputs, OUTCOME).learned, rows, model="m")

    encoded = encode(learned, {"age": rows["age"]})

    vocabulary = {spec.name: spec.vocabulary for spec in learned.inputs}["app"]
    assert vocabulary == ("other", "none", "web")
    assert encoded["visits"].tolist() == [1, 1]
    assert encoded["app"].tolist() == [1, 1]
    assert (
        encoded["note"].tolist()
        == encode(learned, rows | {"note": np.array(["well", "well"], object)})["note"].tolist()
    )


def test_the_truth_is_the_place_of_a_class_or_a_number() -> None:
    number_target = Table(TABLE.inputs[1:2], TensorSpec(name="age", datatype="FP32", shape=()))

    assert TABLE.truth(ROWS).tolist() == [0, 1, 0]
    assert number_target.truth(ROWS).tolist() == [30, 40, 50]
    with pytest.raises(ValueError, match="'maybe' is no class of"):
        TABLE.truth(pa.table({"outcome": ["yes", "maybe"]}))


def test_rows_as_declared_pass_the_data_gates_and_others_do_not() -> None:
    gates = TABLE.data_gates(minimum_rows=3, class_rows=1)
    wrong = (
        ROWS.set_column(3, "note", pa.array([1, 2, 3]))
        .set_column(0, "age", pa.array([-1.0, 2.0, 3.0]))
        .set_column(7, "outcome", pa.array(["no", None, "no"]))
    )

    assert [f.message for f in check_columns(ROWS, gates.columns) if not f.passed] == []
    refused = {f.metric: f.gate for f in check_columns(wrong, gates.columns) if not f.passed}
    assert refused == {"note": "column type", "age": "in range", "outcome": "nothing missing"}


def test_a_column_is_declared_once() -> None:
    with pytest.raises(ConfigurationError, match="age, outcome is declared twice"):
        Table((number("age"), category("outcome")), OUTCOME, others={"age": pa.int32()})


def test_answered_inputs_and_their_truth_are_rows_again():
    made = TABLE.rows(TABLE.arrays(ROWS), {"p": TABLE.truth(ROWS)})

    declared = DeclaredRows(TABLE.columns, TABLE.names)
    expected = pa.Table.from_batches(
        [declared.with_digests(batch) for batch in ROWS.combine_chunks().to_batches()]
    )
    assert made.drop_columns(["key", "visits"]).equals(expected.drop_columns(["key", "visits"]))
    assert made["key"].null_count == made["visits"].null_count == 3
    assert made.schema.equals(declared.schema)


def test_rows_without_a_value_that_none_may_lack_are_left_out():
    arrays = TABLE.arrays(ROWS)
    arrays["age"] = np.array([30, np.nan, 50], np.float32)
    notes = Table((text("note"),), OUTCOME)

    assert TABLE.rows(arrays, {"p": TABLE.truth(ROWS)})["age"].to_pylist() == [30, 50]
    made = notes.rows({"note": np.array(["good", None], object)}, {"p": np.array([1, 0])})
    assert made.select(["note", "outcome"]).to_pylist() == [{"note": "good", "outcome": "yes"}]
    none = notes.rows({"note": np.array([], object)}, {"p": np.array([], np.int64)})
    assert none.num_rows == 0


def test_a_picture_is_identified_by_its_pixels():
    pictures = Table((PIXELS,), TensorSpec(name="size", datatype="FP32", shape=()))
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)

    made = pictures.rows({"pixels": pixels}, {"size": np.array([1.5, 2.5])})

    assert made["digest"].to_pylist() == [
        hashlib.sha256(each.tobytes()).hexdigest() for each in pixels
    ]
    assert made["size"].to_pylist() == [1.5, 2.5]
