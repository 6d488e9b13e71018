"""Decoded values are checked against the schema: vocabularies, ranges and missing values."""

import math
import struct

import numpy as np
import pytest

from overnight.serving.errors import BadInput
from overnight.serving.inference.decoding import from_flat, from_raw, from_rows
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
