"""Categories and classes of two versions are matched by their names."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.store.encoding.arrays import objects
from overnight.store.errors import IncomparableVersions
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.schema import Schema, TensorSpec
from overnight.store.schema_changes import schema_changes
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


def number(name: str, **fields: object) -> TensorSpec:
    return TensorSpec.model_validate({"name": name, "datatype": "FP32", "shape": ()} | fields)


def answering(*inputs: TensorSpec, **changes: object) -> Schema:
    outputs = (TensorSpec(name="p", datatype="FP32", shape=(1,)),)
    return Schema.model_validate({"inputs": inputs, "outputs": outputs} | changes)


def test_what_a_version_does_not_take_is_left_out_and_what_it_alone_takes_has_its_default() -> None:
    own = answering(number("acid"), number("sugar"))
    there = translation(own, answering(number("acid"), number("salt", default=0.5)))
    rows = {"acid": np.ones(2, np.float32), "sugar": np.ones(2, np.float32)}

    sent = there.inputs(rows)

    assert (there.left_out, there.added) == (("sugar",), ("salt",))
    assert {name: array.tolist() for name, array in sent.items()} == {
        "acid": [1.0, 1.0],
        "salt": [0.5, 0.5],
    }
    assert sent["salt"].dtype == np.float32
    # A row that leaves out what it need not send means the default of its own schema.
    with_default = answering(number("acid", default=3.0))
    other = answering(number("acid", default=4.0), number("salt", default=0.5))
    sent = translation(with_default, other).inputs({"salt": np.zeros(1, np.float32)})
    assert sent["acid"].tolist() == [3.0]


TEXT = TensorSpec(
    name="acid",
    datatype="BYTES",
    shape=(),
    text=TextEncoding(tokenizer="whitespace", pieces=("a",), length=2),
)


@pytest.mark.parametrize(
    ("own", "other", "message"),
    [
        (number("sugar"), number("acid"), "takes the input 'acid', which the other does not"),
        (number("acid"), TEXT, "'acid' is a text in only one of them"),
        (number("acid"), number("acid", shape=(3,)), "has the shape [] in one of them, and [3]"),
        (number("acid"), number("acid", datatype="BOOL"), "is FP32 in one of them, and BOOL"),
        (
            number("acid", datatype="INT32"),
            number("acid", datatype="INT32", date=True),
            "'acid' is a date in only one of them",
        ),
        (
            number("acid", shape=(4,), lengths=(2, 4)),
            number("acid", shape=(4,)),
            "'acid' has varying lengths in only one of them",
        ),
        (number("acid", shape=(3,)), number("acid", shape=(4,), lengths=(2, 4)), ""),
        (number("acid"), number("acid", datatype="INT64"), ""),
    ],
)
def test_an_input_that_can_never_be_sent_is_named(
    own: TensorSpec, other: TensorSpec, message: str
) -> None:
    reason = why_incomparable(answering(own), answering(other))

    assert message in reason
    assert bool(reason) == bool(message)


def test_values_that_a_narrower_version_has_no_number_for_are_not_sent() -> None:
    there = translation(
        answering(number("acid", datatype="FP64", nullable=True)),
        answering(number("acid", datatype="INT8")),
    )
    rows = {"acid": np.array([1.0, 1.5, 200.0, np.nan])}

    assert there.answerable(rows).tolist() == [True, False, False, False]
    assert there.inputs({"acid": np.array([1.0])})["acid"].dtype == np.int8
    with pytest.raises(IncomparableVersions, match=r"'acid' cannot be np.float64\(1.5\) there"):
        there.inputs(rows)


def test_categories_sent_by_name_stay_names_and_gaps_stay_gaps() -> None:
    missing = Missing(value="south")
    own = schema(shop("north", "south", "east").model_copy(update={"missing": missing}), *"abc")
    there = translation(own, schema(shop("south", "north"), *"abc"))
    gaps = translation(
        own, schema(shop("south", "north").model_copy(update={"missing": missing}), *"abc")
    )
    names = {"shop": np.array(["north", "east", None], object)}
    numbers = {"shop": np.array([0.0, 2.0, np.nan])}

    assert there.answerable(names).tolist() == [True, False, False]
    assert gaps.answerable(names).tolist() == gaps.answerable(numbers).tolist()
    assert gaps.answerable(numbers).tolist() == [True, False, True]
    assert there.inputs({"shop": names["shop"][:1]})["shop"].tolist() == ["north"]
    sent = gaps.inputs({"shop": numbers["shop"][[0, 2]]})["shop"]
    assert sent[0] == 1
    assert np.isnan(sent[1])


SHARES = {"minimum": 0, "maximum": 1}


def shares(*labels: str) -> Schema:
    outputs = (number("p", shape=(len(labels),), **SHARES),)
    return Schema(inputs=(PLAIN,), outputs=outputs, labels=labels)


def test_a_class_that_the_other_lacks_has_no_probability_and_its_rows_are_not_judged() -> None:
    there = translation(shares(*"abc"), shares(*"ba"))

    answers = there.outputs({"p": np.array([[0.9, 0.1]], np.float32)})["p"]

    assert answers.tolist() == pytest.approx(np.array([[0.1, 0.9, 0.0]]))
    judged = there.judged({"p": np.array([0, 1, 2])})
    assert judged is not None
    assert judged.tolist() == [True, True, False]


def test_of_a_class_that_went_the_probability_is_shared_among_the_others() -> None:
    there = translation(shares(*"ab"), shares(*"abc"))

    answers = there.outputs({"p": np.array([[0.1, 0.3, 0.6], [0.0, 0.0, 1.0]], np.float32)})["p"]

    assert answers.tolist() == [pytest.approx([0.25, 0.75]), pytest.approx([0.5, 0.5])]


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (shares(*"ab"), shares(*"cd")),
        (shares(*"ab"), shares(*"ac")),
        # Numbers that are no probabilities have none that says "not this one".
        (schema(PLAIN, *"abc"), schema(PLAIN, *"abd")),
    ],
)
def test_classes_with_less_than_two_in_common_or_without_probabilities_are_not_compared(
    own: Schema, other: Schema
) -> None:
    assert "their classes differ" in why_incomparable(own, other)


def test_further_outputs_come_and_go_and_the_prediction_must_stay() -> None:
    further = number("q", shape=(2,))
    own = answering(number("acid"))
    with_more = own.model_copy(update={"outputs": (*own.outputs, further)})
    other = own.model_copy(update={"outputs": (further,)})

    assert why_incomparable(own, with_more) == why_incomparable(with_more, own) == ""
    assert why_incomparable(own, other) == "it has no output 'p', but 'q'"


def test_a_network_fits_while_its_inputs_and_outputs_mean_the_same() -> None:
    own = answering(number("acid"))

    assert same_encoding(own, answering(number("acid", description="of the wine", mean=1.0)))
    assert not same_encoding(own, answering(number("acid"), number("sugar", default=1.0)))
    assert not same_encoding(own, answering(number("acid", missing=Missing(value=0.0))))


def test_changes_are_described_for_clients() -> None:
    before = Schema(
        inputs=(shop("north", "south"), number("acid"), number("salt")),
        outputs=(number("p", shape=(2,), **SHARES),),
        labels=("a", "b"),
    )
    after = Schema(
        inputs=(
            shop("south", "north", "east"),
            number("acid", datatype="FP64"),
            number("sugar", default=4.0),
        ),
        outputs=(number("p", shape=(3,), **SHARES),),
        labels=("a", "b", "c"),
    )

    assert schema_changes(before, before) == ()
    assert schema_changes(before, after) == (
        "input shop: new categories east",
        "input acid: FP64 [], it was FP32 []",
        "new input sugar, FP32 [], 4.0 where it is absent",
        "no input salt any more",
        "output p: FP32 [3], it was FP32 [2]",
        "output p: new classes c",
    )
    turned = before.model_copy(update={"labels": ("b", "a")})
    assert schema_changes(before, turned) == ("output p: classes in another order",)


CHANGED = {"missing": Missing(value="other")}


def test_categories_in_lists_and_beside_gaps_are_renumbered_too() -> None:
    before, after = ("red", "blue", "other"), ("other", "blue", "red")
    rows = {
        "gaps": np.array([0, None, "blue", 1.0], object),
        "lists": objects([np.array([0, 1]), ["red", 2], None, []], 4),
    }

    def of(names: tuple[str, ...]) -> Schema:
        fields: dict[str, Any] = {"datatype": "INT32", "vocabulary": names, **CHANGED}
        gaps = TensorSpec(name="gaps", shape=(), **fields)
        lists = TensorSpec(name="lists", shape=(4,), lengths=(2, 4), **fields)
        return schema(gaps, *"abc", inputs=(gaps, lists))

    sent = translation(of(before), of(after)).inputs(rows)

    assert sent["gaps"].tolist() == [2, None, "blue", 1]
    assert sent["lists"].tolist() == [[2, 1], ["red", 0], None, []]


def test_a_category_in_a_list_that_the_other_lacks_cannot_be_sent() -> None:
    def of(*names: str) -> Schema:
        fields: dict[str, Any] = {"datatype": "INT32", "shape": (3,), "lengths": (3,)}
        return schema(TensorSpec(name="shop", vocabulary=names, **fields), *"abc")

    there = translation(of("north", "south"), of("east", "south"))
    rows = {"shop": objects([[1], np.array([1, 0]), ["north"], [2], ["south", 1]], 5)}

    assert there.answerable(rows).tolist() == [True, False, False, False, True]
    with pytest.raises(IncomparableVersions, match="'shop' cannot be"):
        there.inputs(rows)
