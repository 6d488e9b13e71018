"""Schemas: what may be declared, and that manifests of older releases still say the same."""

import pytest
from pydantic import ValidationError

from store.schema import TensorSpec


def test_a_vocabulary_bounds_its_numbers_for_readers_that_know_only_bounds() -> None:
    spec = TensorSpec(name="shop", datatype="INT64", shape=(), vocabulary=("north", "south"))

    assert (spec.minimum, spec.maximum) == (0, 1)
    assert TensorSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"datatype": "FP32", "vocabulary": ("a",)}, "a vocabulary of 1 needs whole numbers"),
        ({"datatype": "INT8", "vocabulary": ("a", "b"), "maximum": 2}, "from 0 to 1"),
        ({"datatype": "INT8", "nullable": True}, "has no NaN"),
    ],
)
def test_what_a_datatype_cannot_hold_is_not_declared(declared: dict, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TensorSpec(name="x", shape=(), **declared)


def test_a_tensor_of_an_older_manifest_has_no_vocabulary_and_no_gaps() -> None:
    spec = TensorSpec.model_validate({"name": "x", "datatype": "FP32", "shape": [2]})

    assert (spec.vocabulary, spec.nullable, spec.minimum) == ((), False, None)
