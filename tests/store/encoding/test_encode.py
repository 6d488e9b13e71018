"""From published values to the network's inputs."""

import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.store.encoding import encode, network_inputs
from overnight.store.encoding.arrays import objects, packed, unpacked
from overnight.store.errors import UnencodableValue
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec

OUT = TensorSpec(name="y", datatype="FP32", shape=(1,))


def schema(*inputs: TensorSpec) -> Schema:
    return Schema(inputs=inputs, outputs=(OUT,))


def spec(datatype: str, shape: tuple[int, ...] = (), **fields: Any) -> TensorSpec:
    return TensorSpec(name="x", datatype=datatype, shape=shape, **fields)  # type: ignore[arg-type]


def texts(tokenizer: str, *pieces: str, length: int = 6, lower_case: bool = False) -> TensorSpec:
    encoding = TextEncoding(
        tokenizer=tokenizer,  # type: ignore[arg-type]
        length=length,
        pieces=pieces,
        lower_case=lower_case,
    )
    return spec("BYTES", text=encoding, missing=Missing(value="", flag=True))


def encoded(declared: TensorSpec, *values: Any) -> dict[str, Any]:
    arrays = encode(schema(declared), {"x": objects(values, len(values))})
    return {name: array.tolist() for name, array in arrays.items()}


def test_words_are_numbered_from_two_and_padded_with_nothing() -> None:
    words = texts("whitespace", "good", "bad", length=4)

    assert encoded(words, "good\tbad  worse", "", None, "Good good good good bad") == {
        "x": [[2, 3, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 2, 2]],
        "x_missing": [0, 0, 1, 0],
    }


def test_word_pieces_are_the_longest_from_the_left_as_in_bert() -> None:
    """The example of the paper's own code, and words that no pieces make up."""
    pieces = ("want", "##want", "##ed", "wa", "un", "runn", "##ing", ",", "low", "lower", "##est")
    declared = texts("wordpiece", *pieces, length=8)
    number = {piece: place + 2 for place, piece in enumerate(pieces)}

    ids = encoded(declared, "unwanted running", "unwantedX running", "lowerest,low")["x"]

    of = [["un", "##want", "##ed", "runn", "##ing"], ["runn", "##ing"], ["lower", "##est", ","]]
    numbers = [[number[piece] for piece in each] for each in of]
    assert ids[0] == [*numbers[0], 0, 0, 0][:8]
    # "running" is "runn" and "##ing": there is no piece "running".
    assert ids[1] == [1, *numbers[1], 0, 0, 0, 0, 0]
    assert ids[2] == [*numbers[2], number["low"], 0, 0, 0, 0]


def test_word_pieces_lose_case_accents_and_control_characters_and_split_ideographs() -> None:
    declared = texts("wordpiece", "cafe", "北", "京", "!", lower_case=True)

    assert encoded(declared, "Caf\u00e9\u200b! \u5317\u4eac", "CAFE\u0301")["x"] == [
        [2, 5, 3, 4, 0, 0],
        [2, 0, 0, 0, 0, 0],
    ]


def test_bytes_are_numbered_without_a_vocabulary() -> None:
    assert encoded(texts("bytes", length=3), "é!", "\ud800", "abcd")["x"] == [
        [0xC3 + 2, 0xA9 + 2, ord("!") + 2],
        [ord("?") + 2, 0, 0],
        [ord("a") + 2, ord("b") + 2, ord("c") + 2],
    ]


def test_categories_and_dates_may_be_names_or_numbers() -> None:
    shop = spec("INT32", vocabulary=("other", "north"), otherwise="other", missing=Missing(value=1))
    day = spec("INT32", date=True, missing=Missing(value="1970-01-02"))

    assert encoded(shop, "north", "south", 1, None)["x"] == [1, 0, 1, 1]
    assert encoded(day, "1970-01-11", 3, float("nan"))["x"] == [10, 3, 1]
    assert encode(schema(day), {"x": np.array([5.0, np.nan])})["x"].tolist() == [5, 1]


def test_numbers_that_are_missing_are_replaced_and_flagged() -> None:
    declared = spec("FP32", (2,), missing=Missing(value=7, flag=True))

    arrays = encode(schema(declared), {"x": np.array([[1, np.nan], [np.nan, 2]], np.float32)})

    assert arrays["x"].tolist() == [[1, 7], [7, 2]]
    assert arrays["x_missing"].tolist() == [[0, 1], [1, 0]]
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "x": "float32",
        "x_missing": "uint8",
    }


def test_rows_are_padded_to_the_least_declared_length_that_holds_them() -> None:
    declared = spec("FP32", (5,), lengths=(2, 5), padding=-1, missing=Missing(value=0.5, flag=True))

    short = encoded(declared, [1, None], [], None)
    long = encoded(declared, [1, 2, 3], [4])

    assert short == {
        "x": [[1, 0.5], [-1, -1], [-1, -1]],
        "x_length": [2, 0, 0],
        "x_missing": [[0, 1], [0, 0], [0, 0]],
    }
    assert long["x"] == [[1, 2, 3, -1, -1], [4, -1, -1, -1, -1]]


def test_rows_of_lists_may_hold_vectors_and_categories() -> None:
    points = spec("FP32", (3, 2), lengths=(3,))
    tags = spec("INT32", (2,), lengths=(1, 2), vocabulary=("other", "red"), otherwise="other")

    assert encoded(points, [[1, 2]], np.array([[3.0, 4], [5, 6]]))["x"] == [
        [[1, 2], [0, 0], [0, 0]],
        [[3, 4], [5, 6], [0, 0]],
    ]
    assert encoded(tags, ["red"], ["blue"])["x"] == [[1], [0]]


def test_an_absent_input_has_its_default() -> None:
    other = TensorSpec(name="other", datatype="FP32", shape=())
    sent = {"other": np.zeros(2, np.float32)}
    later = [
        (spec("INT8", (2,), default=3), [[3, 3], [3, 3]]),
        (spec("INT32", vocabulary=("a", "b"), default="b"), [1, 1]),
        (spec("INT32", date=True, default="1970-01-03"), [2, 2]),
        (spec("FP32", (2,), default=(1.0, 2.0)), [[1, 2], [1, 2]]),
        (spec("FP32", (3,), lengths=(2, 3), default=(4.0,)), [[4, 0], [4, 0]]),
        (spec("BYTES", text=TextEncoding(tokenizer="bytes", length=1), default="A"), [[67], [67]]),
    ]

    for declared, expected in later:
        arrays = encode(schema(other, declared), sent)
        assert arrays["x"].tolist() == expected
        kind = network_inputs(schema(other, declared))[1].datatype
        assert str(arrays["x"].dtype) == NUMPY_TYPES[kind]
    with pytest.raises(UnencodableValue, match="input 'x': it is absent and has no default"):
        encode(schema(other, spec("FP32")), sent)


@pytest.mark.parametrize(
    ("declared", "values", "message"),
    [
        (spec("FP32"), [1, None], "row 1: its value is missing; declare missing"),
        (spec("INT32", vocabulary=("a",)), ["a", "b"], "row 1: 'b' is not in its vocabulary"),
        (spec("INT32", vocabulary=("a", "b")), ["a", 2], "row 1: expected a whole number of 0 to"),
        (spec("FP32"), ["a"], "row 0: expected a number, not 'a'"),
        (spec("INT8"), [300], "a whole number of -128 to 127, not 300"),
        (spec("INT8"), [0, 1.5], "row 1: expected a whole number"),
        (spec("INT32", date=True), ["20261122"], "expected a date such as 2026-11-22"),
        (texts("bytes"), ["a", 3], "row 1: expected a text, not 3"),
        (spec("FP32", (2,), lengths=(2,)), [[1], [1, 2, 3]], "row 1: has 3 values, at most 2"),
        (spec("FP32", (2,), lengths=(2,)), [[], [1], [None]], "row 2: its value is missing"),
        (spec("FP32", (2,), lengths=(2,)), [[1], "ab"], "row 1: expected a list"),
        (spec("FP32", (2,), lengths=(2,)), [None], "row 0: its value is missing"),
        (spec("FP32", (2, 2), lengths=(2,)), [[[1, 2], [3]]], "row 0: expected a list of 2"),
        (texts("whitespace"), ["a"], "has no pieces; learn them"),
    ],
)
def test_what_cannot_be_encoded_is_named_by_input_and_row(
    declared: TensorSpec, values: list[Any], message: str
) -> None:
    with pytest.raises(UnencodableValue, match=re.escape(message)):
        encoded(declared, *values)


def test_numbers_of_another_type_than_declared_become_it_where_they_fit() -> None:
    """Tables have int64 and float64, and an exported network takes nothing but its own types."""
    whole, real = spec("INT32"), spec("FP32")

    arrays = [
        encode(schema(whole), {"x": np.array([1, 2])})["x"],
        encode(schema(real), {"x": np.array([0.5])})["x"],
    ]

    assert [array.dtype for array in arrays] == ["int32", "float32"]
    with pytest.raises(UnencodableValue, match=r"row 1.*-2147483648 to 2147483647, not 3e\+09"):
        encode(schema(whole), {"x": np.array([1, 3_000_000_000])})


def test_without_encodings_the_arrays_are_the_same_objects() -> None:
    sent = {"x": np.arange(3, dtype=np.float32)}

    assert encode(schema(spec("FP32")), sent) is sent


def test_a_huge_text_costs_no_more_than_what_is_kept() -> None:
    """Ten million characters, whole, would take a minute."""
    declared = texts("wordpiece", "a", "##a", length=8)

    assert encoded(declared, "aa! " * 2_500_000, "a" * 10_000_000)["x"][0][:3] == [2, 3, 1]


UNUSUAL = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("aAéÉ\u0301\u200d\ufeff\u00df\u0130\u03a3\u5317 \t\n\u2028!$#"),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["whitespace", "wordpiece", "bytes"]),
    st.lists(st.one_of(st.none(), UNUSUAL), min_size=1, max_size=5),
    st.booleans(),
)
def test_a_text_has_the_same_numbers_alone_in_a_batch_and_after_a_file(
    tokenizer: str, values: list[str | None], lower_case: bool
) -> None:
    """Training encodes many rows at once, serving one, and golden examples come from a file."""
    pieces = () if tokenizer == "bytes" else ("a", "##a", "é", "#", "!", "ss", "σ")
    declared = texts(tokenizer, *pieces, length=5, lower_case=lower_case)
    # As a manifest is read by a server: other objects, of equal value.
    served = TensorSpec.model_validate_json(declared.model_dump_json())

    together = encode(schema(declared), {"x": objects(values, len(values))})
    filed = unpacked(packed({"x": objects(values, len(values))}))
    apart = [encode(schema(served), {"x": filed["x"][i : i + 1]}) for i in range(len(values))]

    for name, array in together.items():
        assert array.tolist() == np.concatenate([each[name] for each in apart]).tolist()
    size = declared.text.size if declared.text else 0
    assert together["x"].min() >= 0
    assert together["x"].max() < size


def test_texts_and_lists_are_in_files_without_pickle() -> None:
    arrays = {
        "text": objects(["é", None, "", "\ud800"], 4),
        "grid": objects(["a", "b"], 2).reshape(1, 2),
        "list": objects([[1.5, 2], None, []], 3),
        "pairs": objects([[[1, 2]], [[3, 4], [5, 6]]], 2),
        "number": np.arange(2),
    }

    flat = packed(arrays)
    back = unpacked(flat)

    assert all(array.dtype != object for array in flat.values())
    assert back["text"].tolist() == ["é", None, "", "\ud800"]
    assert back["grid"].tolist() == [["a", "b"]]
    assert [None if row is None else row.tolist() for row in back["list"]] == [[1.5, 2], None, []]
    assert [row.tolist() for row in back["pairs"]] == [[[1, 2]], [[3, 4], [5, 6]]]
    with pytest.raises(ValueError, match="neither texts nor lists"):
        packed({"x": objects([1, "a"], 2)})
    with pytest.raises(ValueError, match="do not add up"):
        unpacked(flat | {"text@lengths": np.array([1, 2])})


@pytest.mark.parametrize("value", [2.0**63, 2**63, -(2**63) - 1025.0])
def test_numbers_just_beyond_64_bits_are_refused_and_not_wrapped(value: float) -> None:
    declared = spec("INT64", missing=Missing(value=0))

    with pytest.raises(UnencodableValue, match="expected a whole number"):
        encode(schema(declared), {"x": np.array([value, 1])})
    with pytest.raises(UnencodableValue, match="expected a whole number"):
        encoded(declared, value, None)


def test_numbers_beyond_floats_are_refused() -> None:
    with pytest.raises(UnencodableValue, match="below 1e308"):
        encoded(spec("FP32", missing=Missing(value=0)), 10**400, None)


@pytest.mark.parametrize("inner", [(), (3,), (4,), (2, 3)])
def test_a_default_of_rows_of_varying_length_has_their_other_axes(inner: tuple[int, ...]) -> None:
    late = TensorSpec(name="late", datatype="FP32", shape=(4, *inner), lengths=(1, 4), default=1.5)

    arrays = encode(schema(spec("FP32"), late), {"x": np.zeros(2, np.float32)})

    assert arrays["late"].shape == (2, 1, *inner)
    assert (arrays["late"] == 1.5).all()
    assert arrays["late_length"].tolist() == [1, 1]


def test_words_that_take_time_by_the_square_elsewhere_are_encoded_at_once() -> None:
    # Marks of falling classes, which normalisation sorts one by one; and words of known pieces
    # with an unknown end, for each of whose characters every longer piece could be looked for.
    marks = ("\u0300" * 6_000 + "\u0316" * 6_000 + " ") * 20
    words = ("a" * 99 + "\u2603 ") * 2_000
    learned = texts("wordpiece", "a", "##a", length=2_000, lower_case=True)

    start = time.process_time()
    (numbers,) = encoded(learned, marks + words)["x"]

    assert numbers == [1] * 2_000
    # Of these it took more than ten seconds each.
    assert time.process_time() - start < 5


def test_letters_of_other_scripts_lose_their_accents_one_by_one() -> None:
    learned = texts("wordpiece", "muller", "cafe", lower_case=True)

    (numbers,) = encoded(learned, "MÜLLER café cafe\u0301")["x"]

    assert numbers == [2, 3, 3, 0, 0, 0]
