"""Frames: each way in which a column can differ from its declaration is named, with figures."""

import math

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.data_gates.columns import Column
from overnight.store.errors import ConfigurationError
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.registry.manifest import Finding
from overnight.store.schema import TensorSpec
from overnight.tasks.data.column_checks import check_columns

SHOP = Column(TensorSpec(name="shop", datatype="INT8", shape=(), vocabulary=("a", "b", "c")))
SOLD = Column(
    TensorSpec(name="sold", datatype="FP32", shape=(), minimum=0, maximum=1, nullable=True),
    missing_share=0.25,
)
CODE = Column(TensorSpec(name="code", datatype="INT64", shape=()), unique=True)
OPEN = Column(TensorSpec(name="open", datatype="BOOL", shape=()))
SIGN = Column(TensorSpec(name="sign", datatype="UINT8", shape=(2, 2)))
COLUMNS = (SHOP, SOLD, CODE, OPEN, SIGN)
ROWS = pa.table(
    {
        "shop": pa.array([0, 1, 2, 2], pa.int8()),
        "sold": pa.array([0.0, 1.0, 0.5, None], pa.float32()),
        "code": pa.array([1, 2, 3, 4], pa.int64()),
        "open": pa.array([True, False, True, True]),
        "sign": pa.array([b"1234"] * 4, pa.binary(4)),
        "digest": pa.array(["a", "b", "c", "d"]),
    }
)


def failed(rows: pa.Table) -> list[Finding]:
    return [finding for finding in check_columns(rows, COLUMNS) if not finding.passed]


def having(name: str, values: pa.Array) -> pa.Table:
    return ROWS.set_column(ROWS.column_names.index(name), name, values)


def test_columns_as_declared_have_one_finding_each() -> None:
    findings = list(check_columns(ROWS, COLUMNS))

    assert all(finding.passed for finding in findings)
    assert [finding.message for finding in findings] == [
        "shop: INT8 from 0 to 2, as declared",
        "sold: FP32 from 0 to 1, as declared",
        "code: INT64, as declared",
        "open: BOOL, as declared",
        "sign: 2 × 2 of UINT8, as declared",
    ]


def test_no_rows_are_as_declared_and_a_wider_number_is_the_same_kind() -> None:
    assert failed(ROWS[:0]) == []
    assert failed(having("shop", pa.array([0, 1, 2, 2], pa.int64()))) == []
    assert failed(having("sold", pa.array([0.0, 1.0, 0.5, 1.0], pa.float64()))) == []


@pytest.mark.parametrize(
    ("name", "values", "reported"),
    [
        ("shop", pa.array([0, 1, 2, 3], pa.int8()), "1 of 4 values are outside INT8 from 0 to 2"),
        ("shop", pa.array([0, -1, -2, 0], pa.int8()), "2 of 4 values are outside"),
        ("shop", pa.array([0, 1, None, 2], pa.int8()), "1 of 4 values are missing, at most 0.0%"),
        ("shop", pa.array([0, 1, 300, 2]), "the first is 300"),
        ("shop", pa.array([b"a", b"b", b"c", b"a"]), "expected INT8 from 0 to 2, found binary"),
        ("shop", pa.array([0.0, 1.0, 2.0, 2.0]), "found double"),
        ("sold", pa.array([0.0, None, None, 1.0]), "2 of 4 values are missing, at most 25.0% may"),
        ("sold", pa.array([math.nan] * 4), "4 of 4 values are missing"),
        ("sold", pa.array([0.0, math.inf, -math.inf, 2.0]), "3 of 4 values are outside"),
        ("sold", pa.array([0.0, 1.0000001, 1.0, 0.0]), "1 of 4 values are outside"),
        ("sold", pa.array([True] * 4), "found bool"),
        ("code", pa.array([1, 2, 2, 4]), "2 of 4 values occur more than once, the first is 2"),
        ("open", pa.array([1, 0, 1, 1]), "expected BOOL, found int64"),
        ("sign", pa.array([b"1234", b"123", b"1234", b""]), "2 of 4 values are outside"),
        ("sign", pa.array([b"1234", None, b"1234", b"1234"]), "1 of 4 values are missing"),
        ("sign", pa.array([1, 2, 3, 4]), "expected 2 × 2 of UINT8, found int64"),
        ("digest", pa.array(["a", None, "c", "d"]), "1 of 4 values are missing"),
    ],
)
def test_a_column_that_is_not_as_declared_is_named(
    name: str, values: pa.Array, reported: str
) -> None:
    (finding,) = failed(having(name, values))

    assert finding.metric == name
    assert finding.message.startswith(f"{name}: ")
    assert reported in finding.message
    assert finding.n == 4


def test_every_broken_rule_is_reported() -> None:
    findings = failed(having("sold", pa.array([None, None, None, 7.0])))

    assert {finding.gate for finding in findings} == {"nothing missing", "in range"}
    assert {finding.value for finding in findings} == {0.75, 1}


def test_a_missing_column_is_reported_with_the_present_ones() -> None:
    (finding,) = failed(ROWS.drop_columns(["shop"]))

    assert (finding.gate, finding.metric) == ("column present", "shop")
    assert "there are sold, code" in finding.message


def test_as_much_may_be_missing_as_is_declared_and_no_more() -> None:
    share = np.full(100, 0.5)

    for missing, passed in ((24, True), (25, True), (26, False)):
        values = share.copy()
        values[:missing] = math.nan
        result = list(check_columns(pa.table({"sold": values}), (SOLD,)))
        assert [finding.passed for finding in result] == [passed], missing


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_an_invalid_share_cannot_be_declared(share: float) -> None:
    with pytest.raises(ConfigurationError, match="from 0 to 1"):
        Column(SOLD.tensor, missing_share=share)


def test_values_may_be_missing_only_where_a_request_may_miss_them() -> None:
    with pytest.raises(ConfigurationError, match="nullable"):
        Column(SHOP.tensor, missing_share=0.1)


GAPS = Missing(value="")
REVIEW = Column(
    TensorSpec(
        name="review",
        datatype="BYTES",
        shape=(),
        text=TextEncoding(tokenizer="bytes", length=8),
        missing=GAPS,
    ),
    missing_share=0.5,
)
TOWN = Column(TensorSpec(name="town", datatype="INT32", shape=()), categorical=True)
BORN = Column(TensorSpec(name="born", datatype="INT32", shape=(), date=True, minimum=0))
STEPS = Column(TensorSpec(name="steps", datatype="FP32", shape=(3,), lengths=(1, 3)))
PAIR = Column(TensorSpec(name="pair", datatype="FP32", shape=(2,)))
LISTED = pa.list_(pa.float32())


@pytest.mark.parametrize(
    ("column", "values", "reported"),
    [
        (REVIEW, pa.array(["a", None]), ""),
        (REVIEW, pa.array(["a", None], pa.large_string()), ""),
        (REVIEW, pa.array([None, None, "a"], pa.string()), "2 of 3 values are missing, at most 50"),
        (REVIEW, pa.array([1, 2]), "review: expected BYTES, found int64"),
        (TOWN, pa.array(["Ulm", "Aalen"]), ""),
        (TOWN, pa.array(["Ulm", None]), "1 of 2 values are missing"),
        (BORN, pa.array([0, 1], pa.date32()), ""),
        (BORN, pa.array([0, -1], pa.date32()), "1 of 2 values are outside"),
        (STEPS, pa.array([[1.0], [], [1.0, 2, 3]], LISTED), ""),
        (
            STEPS,
            pa.array([[1.0, 2, 3, 4]], LISTED),
            "1 of 1 values are outside lists of up to 3",
        ),
        (STEPS, pa.array([None, [1.0]], LISTED), "1 of 2 values are missing"),
        (PAIR, pa.array([[1.0, 2]], LISTED), ""),
        (PAIR, pa.array([[1.0]], LISTED), "1 of 1 values are outside 2 of FP32"),
    ],
)
def test_texts_names_dates_and_lists_are_columns_too(
    column: Column, values: pa.Array, reported: str
) -> None:
    rows = pa.table({column.name: values})

    (finding,) = check_columns(rows, (column,))

    assert finding.passed == (reported == "")
    assert reported in finding.message
