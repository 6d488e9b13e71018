"""Encoding of vocabularies and dates, and values out of vocabulary."""

import struct

import pytest

from overnight.serving.errors import BadInput
from overnight.serving.inference.decoding import from_flat, from_rows, from_texts
from overnight.serving.inference.vocabulary import OutOfVocabulary
from overnight.store.input_encodings import as_date
from overnight.store.schema import TensorSpec

SHOP = TensorSpec(
    name="shop", datatype="INT64", shape=(), vocabulary=("other", "north", "süd"), otherwise="other"
)
CLOSED = SHOP.model_copy(update={"otherwise": ""})
PAIR = SHOP.model_copy(update={"shape": (2,)})
DAY = TensorSpec(name="day", datatype="INT32", shape=(), date=True, minimum=0, maximum=20_000)


def raw(*texts: str) -> memoryview:
    bodies = [text.encode() for text in texts]
    return memoryview(b"".join(struct.pack("<I", len(body)) + body for body in bodies))


@pytest.mark.parametrize("texts", [["süd", "north"], raw("süd", "north")], ids=["flat", "raw"])
def test_entries_are_encoded_as_their_numbers(texts):
    unknown = OutOfVocabulary()

    actual = from_texts(SHOP, texts, 2, field="shop", unknown=unknown)

    assert actual.tolist() == [2, 1]
    assert actual.dtype == "int64"
    assert not unknown


def test_texts_may_be_nested_by_row():
    actual = from_texts(
        PAIR, [["süd", "other"], ["x", "north"]], 2, field="f", unknown=OutOfVocabulary()
    )

    assert actual.tolist() == [[2, 0], [0, 1]]


def test_texts_and_numbers_may_be_mixed():
    unknown = OutOfVocabulary()

    assert from_rows(SHOP, ["süd", 1, "west"], field="f", unknown=unknown).tolist() == [2, 1, 0]
    assert unknown.entries == [{"tensor": "shop", "row": 2, "value": "west"}]


def test_values_out_of_vocabulary_are_listed_by_row_up_to_a_limit():
    unknown = OutOfVocabulary()

    from_texts(PAIR, ["a", "b"] * 50, 50, field="f", unknown=unknown)

    assert unknown.entries[:3] == [
        {"tensor": "shop", "row": 0, "value": "a"},
        {"tensor": "shop", "row": 0, "value": "b"},
        {"tensor": "shop", "row": 1, "value": "a"},
    ]
    assert (len(unknown.entries), len(unknown)) == (20, 100)


def test_the_limit_of_listed_values_is_for_each_tensor():
    unknown = OutOfVocabulary()

    from_texts(SHOP, ["nowhere"] * 30, 30, field="f", unknown=unknown)
    unknown.add("kind", 3, "caviar")

    assert unknown.entries[-1] == {"tensor": "kind", "row": 3, "value": "caviar"}
    assert (len(unknown.entries), len(unknown)) == (21, 31)


def test_a_long_value_out_of_vocabulary_is_cut_off():
    unknown = OutOfVocabulary()

    from_texts(SHOP, ["x" * 5_000], 1, field="f", unknown=unknown)

    assert len(str(unknown.entries[0]["value"])) == 100


def test_without_a_fallback_a_value_out_of_vocabulary_is_refused_with_the_entries():
    with pytest.raises(BadInput, match=r"f\[1\].*one of 'other', 'north', 'süd'.*'west'"):
        from_texts(CLOSED, ["north", "west"], 2, field="f", unknown=OutOfVocabulary())


def test_errors_list_only_the_first_entries_of_a_long_vocabulary():
    entries = tuple(f"item-{number}" for number in range(500))
    spec = TensorSpec(name="item", datatype="INT32", shape=(), vocabulary=entries)

    with pytest.raises(BadInput, match="and 488 more") as raised:
        from_texts(spec, ["x" * 5_000], 1, field="f", unknown=OutOfVocabulary())

    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(("text", "number"), [("1970-01-01", 0), ("2024-10-04", 20_000)])
def test_dates_are_days_since_1970(text, number):
    assert from_texts(DAY, [text], 1, field="f", unknown=OutOfVocabulary()).tolist() == [number]
    assert as_date(number) == text


def test_a_day_beyond_all_dates_is_shown_as_a_number():
    assert as_date(-10_000_000) == "-1e+07"
    with pytest.raises(BadInput, match=r"from 1970-01-01 to 2024-10-04.*found 2024-10-05"):
        from_flat(DAY, [20_001], (1,), field="f")


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        (memoryview(b"\x05\x00\x00\x00nor"), "each after its length"),
        (memoryview(b"\xff\xff\xff\xffnorth"), "each after its length"),
        (memoryview(b"\x01\x00"), "each after its length"),
        (memoryview(b"\x01\x00\x00\x00\xff"), "UTF-8"),
        (raw("north"), "2 texts"),
        (raw("north", "north", "north"), "2 texts"),
        (["north"], "2 texts"),
        ([["north"], ["north", "south"]], "expected"),
        ("north", "a list of 2 texts"),
        (None, "null"),
        ([], "2 texts"),
    ],
)
def test_texts_that_do_not_match_the_shape_are_refused(texts, error):
    with pytest.raises(BadInput, match=error):
        from_texts(SHOP, texts, 2, field="f", unknown=OutOfVocabulary())


def test_a_tensor_without_vocabulary_refuses_texts():
    plain = TensorSpec(name="x", datatype="INT32", shape=())

    with pytest.raises(BadInput, match="INT32 values"):
        from_rows(plain, ["1"], field="f", unknown=OutOfVocabulary())
