"""What a model declares of novelty, and what is made of its rows: thresholds and ranges."""

import numpy as np
import pytest

from overnight.models.digits.schema import TENSORS as DIGITS
from overnight.models.novelty import Novelty, threshold
from overnight.models.sales import DEFINITION as SALES
from overnight.store.errors import ConfigurationError
from overnight.store.novelty import LearnedRange
from overnight.store.schema import Schema, TensorSpec

TABLE = Schema(
    inputs=(
        TensorSpec(name="size", datatype="FP32", shape=(), nullable=True),
        TensorSpec(name="day", datatype="INT32", shape=(), date=True),
        TensorSpec(name="shop", datatype="INT32", shape=(), vocabulary=("other", "a")),
        TensorSpec(name="open", datatype="BOOL", shape=()),
    ),
    outputs=(TensorSpec(name="units", datatype="FP32", shape=()),),
)
ROWS = {
    "size": np.array([1.0, np.nan, 5.0], np.float32),
    "day": np.array([100, 110, 120], np.int32),
    "shop": np.array([1, 1, 0], np.int32),
    "open": np.array([True, False, True]),
}


@pytest.mark.parametrize("false_flags", [0.01, 0.05, 0.2])
def test_a_new_row_exceeds_the_threshold_as_often_as_declared(false_flags: float) -> None:
    random = np.random.default_rng(1)
    flagged = [
        random.normal(size=50) > (threshold(random.normal(size=400), false_flags) or 0.0)
        for _ in range(400)
    ]

    assert np.mean(flagged) == pytest.approx(false_flags, rel=0.15)


def test_a_threshold_needs_as_many_rows_as_the_share_says() -> None:
    assert threshold(np.arange(99.0), 0.01) == 98
    assert threshold(np.arange(98.0), 0.01) is None
    assert [Novelty(false_flags=share).rows_needed for share in (0.01, 0.05, 0.3)] == [99, 19, 3]


def test_scores_that_are_no_numbers_give_no_threshold() -> None:
    scores = np.arange(200.0)
    scores[7] = np.nan

    assert threshold(scores, 0.01) is None


def test_numbers_and_dates_have_ranges_and_categories_flags_and_pictures_have_none() -> None:
    ranges = Novelty(margin=0.5).ranges(TABLE, ROWS)

    assert ranges == {
        "size": LearnedRange(low=1, high=5, margin=2, least=0),
        "day": LearnedRange(low=100, high=120, margin=10),
    }
    images = {"image": np.zeros((3, 28, 28), np.uint8)}
    assert Novelty().ranges(DIGITS, images) == {}


def test_a_negative_number_is_unlike_rows_that_have_none_whatever_the_margin() -> None:
    never = Novelty(margins={"size": 100}).ranges(TABLE, ROWS)["size"]
    once = Novelty(margins={"size": 100}).ranges(TABLE, {"size": ROWS["size"] - 3})["size"]

    assert (never.bounds, once.bounds) == ((0, 105), (-102, 102))
    # What earlier versions have, and what has no such bound, stays as it was.
    assert "least" not in once.model_dump()


def test_an_input_may_have_a_margin_of_its_own_or_no_range() -> None:
    ranges = Novelty(margins={"day": 91, "size": None}).ranges(TABLE, ROWS)

    assert ranges == {"day": LearnedRange(low=100, high=120, margin=91)}


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"false_flags": 0.0}, "false_flags is 0.0"),
        ({"false_flags": 0.6}, "false_flags is 0.6"),
        ({"margin": -1.0}, "'margin' is -1.0"),
        ({"margins": {"day": float("nan")}}, "'day' is nan"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(declared: dict, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Novelty(**declared)


@pytest.mark.parametrize("name", ["shop", "nothing"])
def test_a_margin_of_what_has_no_numbers_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}.*expected inputs of numbers.*size, day"):
        Novelty(margins={name: 3}).check_inputs("shop", TABLE)


def test_an_output_may_not_be_called_as_the_score() -> None:
    from dataclasses import replace

    outputs = (*SALES.tensors.outputs, TensorSpec(name="novelty", datatype="FP32", shape=()))
    tensors = SALES.tensors.model_copy(update={"outputs": outputs})

    with pytest.raises(ConfigurationError, match="'novelty', as what novelty adds; rename"):
        replace(SALES, tensors=tensors)
