"""Published values against the declared tensors: texts, gaps, lists and other widths."""

from typing import Any

import numpy as np
import pytest

from overnight.store.encoding.arrays import objects
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.schema import TensorSpec
from overnight.tasks.data.tensor_checks import missing_share, tensor_mismatch

WORDS = TextEncoding(tokenizer="whitespace", length=4)


def spec(datatype: str, shape: tuple[int, ...] = (), **fields: Any) -> TensorSpec:
    return TensorSpec(name="x", datatype=datatype, shape=shape, **fields)  # type: ignore[arg-type]


def column(*values: Any) -> np.ndarray:
    return objects(values, len(values))


GAPS = Missing(value=0)


@pytest.mark.parametrize(
    ("declared", "array", "wrong"),
    [
        # Not yet learned, so any text and any name will do.
        (spec("BYTES", text=WORDS), column("a", ""), ""),
        (spec("BYTES", text=WORDS), column("a", None), "expected texts, found None in row 2"),
        (spec("BYTES", text=WORDS, missing=Missing()), column("a", None), ""),
        (spec("BYTES", text=WORDS), column("a", 3), "expected texts, found 3 in row 2"),
        (spec("INT32"), column("a", "b"), ""),
        (spec("INT32", vocabulary=("a",)), column("a", "b"), "row 2: 'b' is not in its vocabulary"),
        (spec("INT32", date=True), column("2026-11-22"), ""),
        (spec("INT32", date=True), column("22.11.2026"), "row 1: expected a date such as"),
        (spec("FP32", missing=GAPS), np.array([1, np.nan], np.float32), ""),
        (spec("FP32"), np.array([1, np.nan], np.float32), "1 are missing, the first in row 2"),
        (spec("INT32", missing=GAPS), np.array([1, np.nan]), ""),
        (spec("INT32", missing=GAPS), np.array([1.5, np.nan]), "expected a whole number"),
        (spec("INT32"), np.array([1.0]), "expected int32, found float64"),
        (spec("INT32"), np.array([1], np.int64), ""),
        (spec("INT8"), np.array([300], np.int64), "whole number of -128 to 127, not 300"),
        (spec("FP32", missing=GAPS, maximum=5), np.array([np.nan, 6]), "values from -inf to 5"),
        (spec("FP32", (3,), lengths=(3,)), column([1, 2], []), ""),
        (spec("FP32", (3,), lengths=(3,)), column([1, 2, 3, 4]), "row 1: has 4 values, at most 3"),
        (spec("FP32", (3,), lengths=(3,), minimum=0), column([1], [-2]), "values from 0 to inf"),
        (spec("FP32", default=1), None, ""),
        (spec("FP32"), None, "no such tensor in the rows"),
    ],
)
def test_published_values_are_compared_with_their_declaration(
    declared: TensorSpec, array: np.ndarray | None, wrong: str
) -> None:
    mismatch = tensor_mismatch(array, declared)

    assert wrong in mismatch
    assert bool(mismatch) == bool(wrong)


def test_the_share_of_missing_values_is_counted_in_numbers_texts_and_lists() -> None:
    assert missing_share(np.array([1, np.nan, np.nan, 2])) == 0.5
    assert missing_share(column("a", None)) == 0.5
    assert missing_share(column([1], None, [], [])) == 0.25
    assert missing_share(np.arange(3)) == 0
