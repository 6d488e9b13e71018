"""Live quality by version and slice, its coverage, and the estimate without labels."""

import math

import numpy as np
import pytest

from overnight.models.examples import Examples
from overnight.models.reference import CalibrationBin
from overnight.models.starters.classification import DEFINITION as TABLE
from overnight.models.starters.regression import DEFINITION as NUMBER
from overnight.tasks.monitoring.estimate import estimated_accuracy
from overnight.tasks.monitoring.quality import live_quality


def answered(rng, n, right=0.9):
    labels = rng.integers(0, 2, n)
    predicted = np.where(rng.random(n) < right, labels, 1 - labels)
    values = np.full((n, 2), 0.1, np.float32)
    values[np.arange(n), predicted] = 0.9
    return labels, predicted, {"probabilities": values}


def rows(labels, slices):
    return Examples({"months": np.zeros(len(labels), np.float32)}, labels, slices)


def test_metrics_and_coverage_are_of_each_slice():
    labels, predicted, outputs = answered(np.random.default_rng(1), 400)
    old = np.arange(400) % 4 == 0
    # Only answers of the first class get labels, and a tenth of the others.
    has = (predicted == 0) | (np.arange(400) % 10 == 0)
    examples = rows(labels[has], {"old": old[has], "new": ~old[has]})
    own = {"probabilities": outputs["probabilities"][has]}

    quality = {
        each.slice: each
        for each in live_quality(TABLE, "v1", examples, own, outputs, slices={"old": old})
    }

    stays = quality["answered stays"]
    assert (stays.labels, stays.answers, stays.coverage) == (
        (predicted == 0).sum(),
        (predicted == 0).sum(),
        1.0,
    )
    assert quality["answered leaves"].coverage < 0.2
    assert quality["old"].coverage == pytest.approx((old & has).sum() / old.sum())
    assert math.isnan(quality["new"].coverage)
    whole = quality[""]
    assert (whole.answers, whole.labels) == (400, has.sum())
    accuracy = next(m for m in whole.measurements if m.metric == "accuracy")
    assert accuracy.value == pytest.approx((labels == predicted)[has].mean())
    assert accuracy.low < accuracy.value < accuracy.high
    assert whole.estimated == pytest.approx(0.9, abs=1e-6)
    of_old = next(m for m in quality["old"].measurements if m.metric == "accuracy")
    assert of_old.value == pytest.approx((labels == predicted)[has & old].mean())
    assert {each.version for each in quality.values()} == {"v1"}


def test_without_labels_there_are_answers_and_an_estimate():
    _, _, outputs = answered(np.random.default_rng(2), 50)
    nothing = rows(np.zeros(0, int), {})

    quality = live_quality(
        TABLE, "v1", nothing, {"probabilities": outputs["probabilities"][:0]}, outputs
    )

    whole = quality[0]
    assert (whole.slice, whole.answers, whole.labels, whole.coverage) == ("", 50, 0, 0.0)
    assert whole.measurements == ()
    assert whole.estimated == pytest.approx(0.9, abs=1e-6)


def test_without_answers_nothing_is_divided():
    nothing = rows(np.zeros(0, int), {})

    (whole,) = live_quality(TABLE, "v1", nothing, {}, {})

    assert (whole.answers, whole.labels, whole.estimated) == (0, 0, None)
    assert math.isnan(whole.coverage)


def test_a_number_has_no_estimate_and_no_slices_by_answer():
    name = NUMBER.tensors.outputs[0].name
    truth = np.linspace(100, 200, 40).astype(np.float32)
    examples = Examples({"rooms": np.zeros(40, np.float32)}, truth)

    (whole,) = live_quality(NUMBER, "v1", examples, {name: truth + 1}, {name: truth + 1})

    assert whole.estimated is None
    assert next(m for m in whole.measurements if m.metric == "mae").value == pytest.approx(1)


def test_one_class_alone_has_clear_results():
    values = np.tile(np.array([[0.8, 0.2]], np.float32), (30, 1))
    examples = rows(np.zeros(30, int), {})

    quality = {
        each.slice: each
        for each in live_quality(
            TABLE, "v1", examples, {"probabilities": values}, {"probabilities": values}
        )
    }

    assert quality.keys() == {"", "answered stays"}
    assert quality[""].measurements


def test_the_estimate_is_the_mean_confidence_and_corrected_by_the_holdout():
    values = np.array([[0.9, 0.1], [0.35, 0.65]])
    # Of the confidences near 0.9 only 80 % were right, in many rows; near 0.65 there were none.
    bins = [CalibrationBin(n=0, confidence=0.0, right=0) for _ in range(10)]
    bins[9] = CalibrationBin(n=1_000_000, confidence=0.9, right=800_000)

    assert estimated_accuracy(values) == pytest.approx((0.9 + 0.65) / 2)
    assert estimated_accuracy(values, bins) == pytest.approx((0.8 + 0.65) / 2, abs=1e-4)
    assert math.isnan(estimated_accuracy(np.zeros((0, 2))))
    with pytest.raises(ValueError, match="one row of classes for each answer"):
        estimated_accuracy(np.zeros(3))


def test_the_estimate_follows_a_shift_to_harder_rows_where_calibration_holds():
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 1, 50_000)
    right = rng.random(50_000) < confidence
    hard = confidence < 0.7
    values = np.stack([confidence, 1 - confidence], axis=1)

    assert estimated_accuracy(values[hard]) == pytest.approx(right[hard].mean(), abs=0.01)
