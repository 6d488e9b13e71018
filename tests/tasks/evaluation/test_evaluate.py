"""Comparison of exported answers with those of the trained network."""

import math

import numpy as np
import pytest

from overnight.models.digits import DEFINITION
from overnight.models.digits.gates import DIGITS, GATES, PERTURBATIONS, WRITERS
from overnight.models.gates import Robust
from overnight.models.metrics.equivalence import compare_outputs
from overnight.models.metrics.evaluation import Sameness

TRAINED = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]], np.float32)


def compared(exported: np.ndarray) -> Sameness:
    seen = {"seen": np.zeros((3, 28, 28), np.uint8)}
    trained, result = {"probabilities": TRAINED, **seen}, {"probabilities": exported, **seen}
    return compare_outputs(DEFINITION.tensors, trained, result, tolerance=DEFINITION.tolerance)


@pytest.mark.parametrize(
    ("exported", "expected"),
    [
        (TRAINED, Sameness(3, 0.0, 0)),
        (TRAINED + np.float32(0.25), Sameness(3, 0.25, 0)),
        (TRAINED[:, ::-1], Sameness(3, 0.8, 2)),
    ],
)
def test_exported_answers_are_compared_by_value_and_by_answer(
    exported: np.ndarray, expected: Sameness
) -> None:
    result = compared(exported)

    assert (result.n, result.changed_answers) == (expected.n, expected.changed_answers)
    assert result.largest_difference == pytest.approx(expected.largest_difference)


def test_an_answer_that_is_not_a_number_is_no_small_difference() -> None:
    broken = np.where(TRAINED == 0.1, np.nan, TRAINED)

    result = compared(broken)

    assert math.isnan(result.largest_difference)


def test_every_perturbation_of_the_digits_is_gated() -> None:
    (robust,) = (gate for gate in GATES if isinstance(gate, Robust))

    assert set(robust.perturbations) == set(DEFINITION.perturbations) == set(PERTURBATIONS)
    assert len(set(DIGITS) | set(WRITERS)) == 12


@pytest.mark.parametrize("name", sorted(PERTURBATIONS))
def test_a_perturbation_keeps_shape_and_kind_and_the_picture_it_was_given(name: str) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    before = images.copy()

    perturbed = PERTURBATIONS[name]({"image": images})["image"]

    assert (perturbed.shape, perturbed.dtype) == (images.shape, images.dtype)
    assert np.array_equal(images, before)
    assert not np.array_equal(perturbed, images)
