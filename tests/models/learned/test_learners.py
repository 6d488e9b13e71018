"""What is learned on the training rows, and how declarations and learners fit each other."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from overnight.models.learned import (
    Borders,
    Learner,
    MeanAndDeviation,
    Vocabulary,
    WordPieces,
    Words,
    learn,
)
from overnight.store.encoding import encode
from overnight.store.encoding.arrays import objects
from overnight.store.errors import ConfigurationError
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.schema import Schema, TensorSpec
from tests.support.small_models import sales

OUT = TensorSpec(name="y", datatype="FP32", shape=(1,))


def spec(datatype: str, shape: tuple[int, ...] = (), **fields: Any) -> TensorSpec:
    return TensorSpec(name="x", datatype=datatype, shape=shape, **fields)  # type: ignore[arg-type]


def text(tokenizer: str, **fields: Any) -> TensorSpec:
    encoding = TextEncoding(tokenizer=tokenizer, length=6)  # type: ignore[arg-type]
    return spec("BYTES", text=encoding, **fields)


def column(*values: Any) -> np.ndarray:
    return objects(values, len(values))


def test_a_vocabulary_has_the_most_frequent_categories_in_alphabetical_order() -> None:
    values = column("tea", "milk", "tea", None, "jam", "milk", "salt", "bread")

    learned = Vocabulary(most=3)(values, spec("INT32", missing=Missing(flag=True)))
    frequent = Vocabulary(otherwise="", least_rows=2)(values, spec("INT32"))

    # Of bread, jam and salt, in one row each, the first in the alphabet is kept.
    assert learned.vocabulary == ("other", "bread", "milk", "tea")
    assert (learned.otherwise, learned.minimum, learned.maximum) == ("other", 0, 3)
    assert learned.missing == Missing(value="other", flag=True)
    assert (frequent.vocabulary, frequent.otherwise) == (("milk", "tea"), "")


def test_declared_entries_replacements_and_defaults_are_in_a_learned_vocabulary() -> None:
    first = spec("INT32", vocabulary=("z", "y"))
    unlearned = spec("INT32", missing=Missing(value="none"), default="unknown")

    assert Vocabulary()(column("a", "y"), first).vocabulary == ("z", "y", "other", "a")
    assert Vocabulary()(column("a"), unlearned).vocabulary == ("other", "none", "unknown", "a")


def test_categories_in_lists_are_learned_too() -> None:
    tags = spec("INT32", (3,), lengths=(3,))

    assert Vocabulary()(column(["b", "a"], [], ["a"]), tags).vocabulary == ("other", "a", "b")


def test_words_come_by_frequency_and_as_the_tokenizer_sees_them() -> None:
    lower = TextEncoding(tokenizer="whitespace", length=3, lower_case=True)
    declared = spec("BYTES", text=lower, missing=Missing())

    learned = Words(size=2)(column("Red tea", "red TEA tea", None, "jam"), declared)

    assert learned.text is not None
    assert learned.text.pieces == ("tea", "red")
    assert learned.missing == Missing(value="")


def test_word_pieces_merge_the_most_frequent_pairs_and_make_up_every_word() -> None:
    values = column(*["low lower lowest"] * 5, *["new newer newest"] * 4, "wide")

    learned = WordPieces(size=40)(values, text("wordpiece"))

    assert learned.text is not None
    pieces = learned.text.pieces
    assert pieces[:3] == ("##d", "##e", "##i")
    # Whole words in the end, but none that occurs only once.
    assert {"low", "newest"} <= set(pieces)
    assert "wide" not in pieces
    schema = Schema(inputs=(learned,), outputs=(OUT,))
    number = {piece: place + 2 for place, piece in enumerate(pieces)}
    # No word had a later "l" or "y".
    assert encode(schema, {"x": column("newest wide newly")})["x"].tolist() == [
        [number[piece] for piece in ("newest", "w", "##i", "##d", "##e")] + [1]
    ]


@pytest.mark.parametrize(
    ("learner", "declared"),
    [
        (Vocabulary(most=4), spec("INT32")),
        (Words(size=5), text("whitespace")),
        (WordPieces(size=20), text("wordpiece")),
    ],
)
def test_what_is_learned_does_not_depend_on_the_order_of_rows(
    learner: Learner, declared: TensorSpec
) -> None:
    values = [f"{a}{b}" + (f" {b}{a}" if declared.text else "") for a in "abcab" for b in "xyzx"]

    learned = {
        learner(column(*random.Random(seed).sample(values, len(values))), declared)
        for seed in range(4)
    }

    assert len(learned) == 1


def test_mean_and_deviation_ignore_gaps_and_order_and_replace_what_is_missing() -> None:
    values = np.array([1, 3, np.nan, 5], np.float32)
    declared = spec("FP32", missing=Missing(flag=True))

    learned = MeanAndDeviation()(values, declared)

    assert (learned.mean, learned.missing) == (3, Missing(value=3, flag=True))
    assert learned.deviation == pytest.approx(np.std([1, 3, 5]))
    assert MeanAndDeviation()(values[::-1].copy(), declared) == learned
    assert MeanAndDeviation()(np.ones((2, 2)), spec("FP32", (2,))).deviation == 1
    whole = MeanAndDeviation()(column(1, 2, None), spec("INT32", missing=Missing()))
    assert whole.missing == Missing(value=2)
    lists = MeanAndDeviation()(column([1, 3], [5]), spec("FP32", (2,), lengths=(2,)))
    assert lists.mean == 3
    days = MeanAndDeviation()(column("2026-11-22", 20781), spec("INT32", date=True))
    assert (days.mean, days.deviation) == (20780, 1)


def test_borders_cut_values_into_buckets_of_equally_many() -> None:
    values = np.arange(100, dtype=np.float32)

    learned = Borders(4)(values, spec("FP32", missing=Missing()))
    few = Borders(10)(np.array([0.0, 0, 0, 1]), spec("FP32"))

    assert learned.borders == (24.75, 49.5, 74.25)
    assert learned.missing == Missing(value=49.5)
    assert few.borders == (0, pytest.approx(0.7)) or few.borders[0] == 0


@pytest.mark.parametrize(
    ("learner", "declared", "values", "message"),
    [
        (Vocabulary(), spec("FP32"), column("a"), "must be declared as INT32"),
        (Vocabulary(), spec("INT32"), column("a", 3), "the rows have 3; make it a text"),
        (Words(), text("wordpiece"), column("a"), "with text=TextEncoding"),
        (WordPieces(), spec("INT32"), column("a"), "not for INT32"),
        (Borders(), text("bytes"), column("a"), "not of texts"),
        (MeanAndDeviation(), spec("FP32"), column("a"), "not of texts"),
    ],
)
def test_a_learner_that_does_not_fit_its_input_says_what_to_declare(
    learner: Learner, declared: TensorSpec, values: np.ndarray, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        learner(values, declared)


@pytest.mark.parametrize(
    ("learner", "declared", "values"),
    [
        (Vocabulary(otherwise=""), spec("INT32"), column(None)),
        (Words(), text("whitespace"), column("", None)),
        (WordPieces(), text("wordpiece"), column(" ")),
        (Borders(), spec("FP32"), np.array([np.nan])),
    ],
)
def test_rows_without_a_value_are_nothing_to_learn_from(
    learner: Learner, declared: TensorSpec, values: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=r"no row has|every value is missing"):
        learner(values, declared)


def test_a_learner_may_not_change_what_clients_send() -> None:
    tensors = Schema(inputs=(spec("FP32"),), outputs=(OUT,))

    with pytest.raises(ConfigurationError, match="another signature"):
        learn(tensors, {"x": lambda _, s: spec("FP64")}, {"x": np.zeros(1)}, model="m")
    with pytest.raises(ConfigurationError, match="no pieces, and its learner gave none"):
        learn(
            Schema(inputs=(text("whitespace"),), outputs=(OUT,)),
            {"x": lambda _, s: s},
            {"x": column("a")},
            model="m",
        )


def test_a_definition_names_learners_without_input_and_inputs_without_learner() -> None:
    tensors = sales.DEFINITION.tensors
    added = Schema(inputs=(*tensors.inputs, text("wordpiece")), outputs=tensors.outputs)
    flagged = Schema(
        inputs=(spec("FP32", missing=Missing(value=0, flag=True)), *tensors.inputs,
                TensorSpec(name="X_missing", datatype="FP32", shape=())),
        outputs=tensors.outputs,
    )  # fmt: skip

    with pytest.raises(ConfigurationError, match=r"learned=\{'shop': …\} names no input"):
        replace(sales.DEFINITION, learned={"shop": Vocabulary()})
    with pytest.raises(ConfigurationError, match="'x', the tokenizer 'wordpiece' has no pieces"):
        replace(sales.DEFINITION, tensors=added)
    # The converter ignores case, so that these two would be one input of the network.
    with pytest.raises(ConfigurationError, match="two inputs are called 'x_missing'"):
        replace(sales.DEFINITION, tensors=flagged)
    assert replace(sales.DEFINITION, tensors=added, learned={"x": WordPieces()}).learned


@pytest.mark.parametrize("value", [0.1, 123456.7, 1e-30, -7.3])
@pytest.mark.parametrize("n", [1_000, 777])
def test_the_deviation_of_a_constant_is_1_however_its_mean_is_rounded(value, n) -> None:
    learned = MeanAndDeviation()(np.full(n, value), spec("FP64"))

    assert (learned.mean, learned.deviation) == (value, 1)
