"""Categories and classes of two versions are matched by their names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.store.errors import IncomparableVersions
from overnight.store.schema import Schema, TensorSpec
from overnight.store.schema_translation import same_encoding, translation, why_incomparable

NAMES = ("north", "south", "east", "west")


def shop(*categories: str, otherwise: str = "") -> TensorSpec:
    return TensorSpec(
        name="shop", datatype="INT32", shape=(), vocabulary=categories, otherwise=otherwise
    )


def schema(spec: TensorSpec, *labels: str, **changes: object) -> Schema:
    outputs = (TensorSpec(name="p", datatype="FP32", shape=(len(labels),)),)
    return Schema(
        **{"inputs": (spec,), "outputs": outputs, "labels": labels} | changes  # type: ignore[arg-type]
    )


PLAIN = TensorSpec(name="shop", datatype="INT32", shape=())
OWN = schema(shop("north", "south", "east"), "a", "b", "c")


@given(st.permutations(NAMES), st.permutations(NAMES), st.permutations("abc"))
@settings(max_examples=30, deadline=None)
def test_every_category_and_class_keeps_its_name(
    before: list[str], after: list[str], labels: list[str]
) -> None:
    own, other = schema(shop(*before), *"abc"), schema(shop(*after), *labels)
    rows = np.array([0, 1, 2, 3, 3], np.int32)
    scores = np.arange(15, dtype=np.float32).reshape(5, 3)

    there = translation(own, other).inputs({"shop": rows})["shop"]
    back = translation(own, other).outputs({"p": scores})["p"]

    assert there.dtype == rows.dtype
    assert [after[number] for number in there] == [before[number] for number in rows]
    for place, label in enumerate("abc"):
        assert (back[:, place] == scores[:, labels.index(label)]).all()


def test_a_category_that_the_other_lacks_is_its_other_category() -> None:
    other = schema(shop("others", "south", otherwise="others"), *"abc")

    rows = translation(OWN, other).inputs({"shop": np.array([0, 1, 2])})["shop"]

    assert rows.tolist() == [0, 1, 0]


def test_what_stands_for_all_others_need_not_have_the_same_name() -> None:
    own = schema(shop("rest", "south", otherwise="rest"), *"abc")
    other = schema(shop("south", "others", otherwise="others"), *"abc")

    assert translation(own, other).inputs({"shop": np.array([0, 1])})["shop"].tolist() == [1, 0]


def test_a_category_that_nothing_stands_for_is_named_and_other_rows_can_be_sent() -> None:
    there = translation(OWN, schema(shop("south", "north"), *"abc"))
    rows = {"shop": np.array([0, 2, 1])}

    with pytest.raises(IncomparableVersions, match="'shop' has no category 'east'"):
        there.inputs(rows)
    assert there.answerable(rows).tolist() == [True, False, True]


@pytest.mark.parametrize("number", [-1, 3])
def test_a_number_outside_the_vocabulary_is_no_other_category(number: int) -> None:
    with pytest.raises(IncomparableVersions, match=f"no category {number}"):
        translation(OWN, schema(shop("east", "south", "north"), *"abc")).inputs(
            {"shop": np.array([number])}
        )


ONE_NUMBER = (TensorSpec(name="p", datatype="FP32", shape=()),)
NAMED = TensorSpec(name="p", datatype="INT32", shape=(), vocabulary=("a", "b"))
OTHER = TensorSpec(name="p", datatype="INT32", shape=(), vocabulary=("a", "c"))


@pytest.mark.parametrize(
    ("own", "other", "message"),
    [
        (OWN, OWN, ""),
        (OWN, schema(shop("north", "south", "east"), *"cab"), ""),
        (OWN, schema(PLAIN, *"abc"), "'shop' has categories in only one of them"),
        (OWN, schema(shop("north"), *"abd"), "'c' only in one; 'd' only in the other"),
        (
            schema(PLAIN, *"ab", outputs=ONE_NUMBER),
            schema(PLAIN, *"ba", outputs=ONE_NUMBER),
            "in another order, and 'p' has no number for each",
        ),
        (
            schema(PLAIN, outputs=(NAMED,)),
            schema(PLAIN, outputs=(OTHER,)),
            "the output 'p' has other categories",
        ),
    ],
)
def test_versions_without_a_common_meaning_are_described(
    own: Schema, other: Schema, message: str
) -> None:
    reason = why_incomparable(own, other)

    assert message in reason
    assert bool(reason) == bool(message)


def test_answers_that_are_categories_come_back_with_our_numbers() -> None:
    turned = NAMED.model_copy(update={"vocabulary": ("b", "a")})
    there = translation(schema(PLAIN, outputs=(NAMED,)), schema(PLAIN, outputs=(turned,)))

    assert there.outputs({"p": np.array([0, 1, 1])})["p"].tolist() == [1, 0, 0]


def test_encodings_are_the_same_while_every_number_means_the_same() -> None:
    assert same_encoding(OWN, OWN)
    assert not same_encoding(OWN, schema(shop("south", "north", "east"), *"abc"))
    assert not same_encoding(OWN, schema(shop("north", "south", "east"), *"bac"))
