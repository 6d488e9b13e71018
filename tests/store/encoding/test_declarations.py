"""Declarations of texts, gaps, lengths and defaults: what is refused, and what the network gets."""

from typing import Any

import pytest
from pydantic import ValidationError

from overnight.store.encoding import network_inputs
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.schema import Schema, TensorSpec

OUT = TensorSpec(name="y", datatype="FP32", shape=(1,))
WORDS = TextEncoding(tokenizer="whitespace", length=4, pieces=("a", "b"))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"datatype": "BYTES"}, "together with text"),
        ({"datatype": "FP32", "text": WORDS}, "together with text"),
        ({"datatype": "BYTES", "text": WORDS, "minimum": 0}, "neither bounds nor vocabulary"),
        ({"datatype": "FP32", "nullable": True, "missing": Missing(value=0)}, "one of them"),
        ({"datatype": "FP32", "missing": Missing(value="x")}, "expected a number"),
        ({"datatype": "UINT8", "missing": Missing(value=-1)}, "whole number of 0 to 255"),
        ({"datatype": "INT32", "missing": Missing(value=0.5)}, "whole number"),
        ({"datatype": "BOOL", "missing": Missing(value=2)}, "whole number of 0 to 1"),
        ({"datatype": "BYTES", "text": WORDS, "missing": Missing(value=1)}, "expected a text"),
        (
            {"datatype": "INT32", "vocabulary": ("a", "b"), "missing": Missing(value="c")},
            "'c', which is not in its vocabulary",
        ),
        ({"datatype": "INT32", "vocabulary": ("a", "b"), "default": 2}, "whole number of 0 to 1"),
        ({"datatype": "INT32", "date": True, "missing": Missing(value="20261122")}, "a date such"),
        ({"datatype": "FP32", "default": (1.0, 2.0)}, "one value for each row"),
        ({"datatype": "FP32", "lengths": (4,)}, "the greatest length 4 first"),
        ({"datatype": "FP32", "shape": (4,), "lengths": (4, 2)}, "expected rising"),
        ({"datatype": "FP32", "shape": (4,), "lengths": (0, 4)}, "from 1 on"),
        ({"datatype": "UINT8", "shape": (4,), "lengths": (4,), "padding": -1}, "its padding is -1"),
        ({"datatype": "FP32", "padding": 1}, "padding needs `lengths`"),
        ({"datatype": "FP32", "deviation": 0}, "more than 0"),
        ({"datatype": "FP32", "mean": float("nan")}, "must be finite"),
        ({"datatype": "FP32", "borders": (1, 1)}, "expected rising"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused_by_name(
    declared: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        TensorSpec.model_validate({"name": "x", "shape": ()} | declared)

    assert "x: " in str(caught.value)


@pytest.mark.parametrize(
    ("tokenizer", "pieces", "message"),
    [
        ("bytes", ("a",), "no pieces of its own"),
        ("whitespace", ("a", "a"), "distinct"),
        ("wordpiece", ("",), "not empty"),
    ],
)
def test_pieces_are_distinct_and_bytes_have_none(
    tokenizer: Any, pieces: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        TextEncoding(tokenizer=tokenizer, length=3, pieces=pieces)


@pytest.mark.parametrize("added", ["x_missing", "x_length"])
def test_an_input_may_not_be_called_as_one_that_follows_from_another(added: str) -> None:
    varying = TensorSpec(
        name="x", datatype="FP32", shape=(4,), lengths=(4,), missing=Missing(value=0, flag=True)
    )
    other = TensorSpec(name=added, datatype="FP32", shape=())

    with pytest.raises(ValidationError, match=f"another input '{added}' because of 'x'"):
        Schema(inputs=(varying, other), outputs=(OUT,))


def test_outputs_are_not_encoded() -> None:
    with pytest.raises(ValidationError, match="of inputs only"):
        Schema(inputs=(), outputs=(TensorSpec(name="y", datatype="BYTES", shape=(), text=WORDS),))


def test_the_network_gets_numbers_flags_and_lengths() -> None:
    schema = Schema(
        inputs=(
            TensorSpec(name="review", datatype="BYTES", shape=(), text=WORDS),
            TensorSpec(
                name="age",
                datatype="FP32",
                shape=(),
                minimum=0,
                maximum=99,
                missing=Missing(value=-1, flag=True),
            ),
            TensorSpec(name="steps", datatype="FP32", shape=(9, 2), lengths=(3, 9), default=0),
            TensorSpec(name="plain", datatype="INT8", shape=(2,)),
        ),
        outputs=(OUT,),
    )

    specs = {spec.name: spec for spec in network_inputs(schema)}

    assert [*specs] == ["review", "age", "age_missing", "steps", "steps_length", "plain"]
    assert (specs["review"].datatype, specs["review"].shape) == ("INT32", (4,))
    assert (specs["review"].minimum, specs["review"].maximum) == (0, 3)
    assert (specs["age"].minimum, specs["age"].missing) == (-1, None)
    assert (specs["age_missing"].datatype, specs["age_missing"].shape) == ("UINT8", ())
    assert (specs["steps"].shape, specs["steps"].lengths) == ((9, 2), (3, 9))
    assert (specs["steps_length"].datatype, specs["steps_length"].shape) == ("INT32", ())
    assert specs["plain"] is schema.inputs[3]


def test_a_schema_without_encodings_is_the_networks() -> None:
    schema = Schema(inputs=(OUT,), outputs=(OUT,))

    assert network_inputs(schema) is schema.inputs


def test_a_declaration_survives_its_manifest() -> None:
    spec = TensorSpec(
        name="x",
        datatype="FP32",
        shape=(9,),
        lengths=(3, 9),
        padding=-1,
        missing=Missing(value=2.5),
        default=(1.0, 2.0),
        mean=1,
        deviation=2,
        borders=(1, 2.5),
    )
    text = TensorSpec(name="t", datatype="BYTES", shape=(), text=WORDS, default="none")

    assert TensorSpec.model_validate_json(spec.model_dump_json()) == spec
    assert TensorSpec.model_validate_json(text.model_dump_json()) == text


def test_the_networks_bounds_include_padding_and_replacements() -> None:
    readings = TensorSpec(
        name="readings",
        datatype="FP32",
        shape=(4,),
        lengths=(2, 4),
        minimum=1,
        maximum=9,
        missing=Missing(value=5),
    )
    age = TensorSpec(
        name="age", datatype="FP32", shape=(), minimum=18, maximum=99, missing=Missing(value=18)
    )

    specs = {
        spec.name: spec for spec in network_inputs(Schema(inputs=(readings, age), outputs=(OUT,)))
    }

    assert (specs["readings"].minimum, specs["readings"].maximum) == (0, 9)
    assert (specs["age"].minimum, specs["age"].maximum) == (18, 99)
