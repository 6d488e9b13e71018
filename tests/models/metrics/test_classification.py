"""Metrics against figures worked out by hand or by scipy."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from overnight.models.metrics.classification import (
    calibration_error,
    calibration_floor,
    classification,
    classification_rows,
    log_loss,
    share,
)


def test_a_share_has_wilsons_interval() -> None:
    measured = share("accuracy", np.array([True] * 45 + [False] * 5))
    reference = binomtest(45, 50).proportion_ci(method="wilson")

    assert measured.value == 0.9
    assert (measured.low, measured.high) == pytest.approx((reference.low, reference.high))


def test_a_share_of_no_row_is_not_a_number() -> None:
    assert math.isnan(share("accuracy", np.zeros(0, bool)).value)


def test_calibration_error_is_the_weighted_gap_of_confidence_and_accuracy() -> None:
    # Four answers at 0.9, three right: |0.75 - 0.9|; one at 0.6, wrong: 0.6. (4 * .15 + .6) / 5
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]])
    labels = np.array([0, 0, 0, 1, 1])

    assert calibration_error(labels, probabilities) == pytest.approx(0.24)


def test_a_certain_and_right_classifier_is_calibrated_and_loses_nothing() -> None:
    labels = np.array([0, 1, 1])
    certain = np.eye(2)[labels]

    assert calibration_error(labels, certain) == 0
    assert log_loss(labels, certain) == 0


def test_log_loss_is_the_mean_surprise() -> None:
    assert log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]])) == pytest.approx(
        (math.log(2) + math.log(4)) / 2
    )


def test_every_slice_is_measured_and_the_whole() -> None:
    labels = np.array([0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    slices = {"zeros": labels == 0, "nobody": labels == 7}

    measured = {(m.metric, m.slice): m for m in classification(labels, probabilities, slices)}

    assert measured["accuracy", ""].value == pytest.approx(2 / 3)
    assert measured["accuracy", "zeros"].value == 0.5
    assert measured["accuracy", "nobody"].n == 0
    assert measured["majority_accuracy", ""].value == pytest.approx(2 / 3)


def test_the_floor_of_calibration_is_what_a_calibrated_classifier_shows() -> None:
    random = np.random.default_rng(2)
    confidence = random.uniform(0.5, 1, 2_000)
    probabilities = np.column_stack((confidence, 1 - confidence))
    # Each answer is right as often as it says.
    shown = [
        calibration_error((random.random(2_000) > confidence).astype(int), probabilities)
        for _ in range(200)
    ]

    assert calibration_floor(probabilities) == pytest.approx(np.mean(shown), rel=0.05)
    assert math.isnan(calibration_floor(np.zeros((0, 2))))


def test_metrics_by_row_add_up_to_those_of_the_whole() -> None:
    random = np.random.default_rng(3)
    labels, probabilities = random.integers(0, 3, 50), random.dirichlet(np.ones(3), 50)

    whole = {m.metric: m.value for m in classification(labels, probabilities, {})}
    rows = {row.metric: row for row in classification_rows(labels, probabilities)}

    for metric in ("accuracy", "log_loss", "majority_accuracy"):
        assert rows[metric].values.mean() == pytest.approx(whole[metric])
    assert [rows[name].better for name in ("accuracy", "log_loss")] == ["higher", "lower"]
