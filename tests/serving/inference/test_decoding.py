"""Decoded values are checked against the schema: vocabularies, ranges and missing values."""

import math
import struct

import numpy as np
import pytest

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs import v2_json
from overnight.serving.inference.decoding import from_flat, from_raw, from_rows
from overnight.serving.inference.limits import Allowance, Limits
from overnight.serving.inference.vocabulary import OutOfVocabulary
from overnight.store.schema import TensorSpec

SHOP = TensorSpec(name="shop", datatype="INT64", shape=(), vocabulary=("north", "south"))
PRICE = TensorSpec(name="price", datatype="FP32", shape=(), minimum=0, nullable=True)


@pytest.mark.parametrize("value", [0, 1])
def test_a_number_of_the_vocabulary_is_accepted(value: int) -> None:
    assert from_rows(SHOP, [value], field="shop").tolist() == [value]


@pytest.mark.parametrize("value", [-1, 2])
def test_a_number_outside_the_vocabulary_is_refused(value: int) -> None:
    with pytest.raises(BadInput, match="shop"):
        from_rows(SHOP, [0, value], field="shop")
    with pytest.raises(BadInput, match="shop"):
        from_raw(SHOP, memoryview(struct.pack("<2q", 0, value)), (2,), field="shop")


def test_a_nullable_tensor_accepts_missing_values() -> None:
    rows = from_flat(PRICE, [1.5, None], (2,), field="price")
    raw = from_raw(
        PRICE, memoryview(np.array([1.5, math.nan], "<f4").tobytes()), (2,), field="price"
    )

    for actual in (rows, raw):
        assert actual[0] == 1.5
        assert math.isnan(actual[1])


@pytest.mark.parametrize("value", [math.inf, -0.5, "1"])
def test_other_values_of_a_nullable_tensor_are_range_checked(value: object) -> None:
    with pytest.raises(BadInput, match="price"):
        from_flat(PRICE, [value, None], (2,), field="price")


def test_a_tensor_that_is_not_nullable_refuses_missing_values() -> None:
    plain = PRICE.model_copy(update={"nullable": False})

    with pytest.raises(BadInput, match="null"):
        from_flat(plain, [1.0, None], (2,), field="price")
    with pytest.raises(BadInput, match="finite"):
        from_raw(plain, memoryview(np.array([math.nan], "<f4").tobytes()), (1,), field="price")


@pytest.mark.parametrize("values", [[2**63, -1], [2.0**63, 0], [-(2**63) - 1025.0, 0]])
def test_numbers_just_beyond_64_bits_are_refused_and_not_wrapped(values: list[float]) -> None:
    count = TensorSpec(name="count", datatype="INT64", shape=())

    with pytest.raises(BadInput, match="expected whole numbers"):
        from_rows(count, values, field="count")


def test_raw_names_in_rows_of_varying_length_are_read_as_names() -> None:
    visited = TensorSpec(
        name="visited", datatype="INT32", shape=(4,), lengths=(4,), vocabulary=("a", "b", "none")
    )

    def decoded(shape: list[int], *names: str) -> list[list[int]]:
        raw = b"".join(struct.pack("<I", len(name)) + name.encode() for name in names)
        tensor = {"datatype": "BYTES", "shape": shape, "data": memoryview(raw)}
        unknown = OutOfVocabulary()
        return v2_json._decoded(visited, tensor, Allowance(Limits()), unknown, field="x").tolist()

    assert decoded([1, 3], "b", "none", "a") == [[1, 2, 0]]
    assert decoded([2, 1], "none", "b") == [[2], [1]]
    # Two empty names have the bytes of two numbers, and are none.
    for shape in ([1, 2], [2, -1]):
        with pytest.raises(BadInput, match="expected"):
            decoded(shape, "", "")
