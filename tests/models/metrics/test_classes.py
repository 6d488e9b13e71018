"""Metrics by class and of rankings, against scikit-learn, DeLong's own formulas and resampling."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from overnight.models.metrics.classes import brier_scores, class_rows
from overnight.models.metrics.evaluation import RowMetric
from overnight.models.metrics.joint import measurement
from overnight.models.metrics.measuring import measure_rows, measured
from overnight.models.metrics.ranking import (
    auc_influences,
    average_precision_influences,
    ranking_rows,
)

RANDOM = np.random.default_rng(11)
N = 400
TWO = RANDOM.integers(0, 2, N)
# Rounded, so that many scores are tied.
SCORES = np.round(np.clip(RANDOM.normal(0.35 + 0.25 * TWO, 0.25), 0.01, 0.99), 2)
PAIR = np.column_stack([1 - SCORES, SCORES])
THREE = RANDOM.integers(0, 3, N)
TRIPLE = (
    RANDOM.dirichlet(np.ones(3), N) * 0.5 + 0.5 * np.eye(3)[(THREE + RANDOM.integers(0, 2, N)) % 3]
)
NAMES = ("low", "middle", "high")
ALL = np.ones(N, bool)
HALF = np.arange(N) < 150
BINARY: Mapping[str, Callable[[Any, Any], float]] = {
    "recall": lambda y, p: reference.recall_score(y, p.argmax(axis=1)),
    "precision": lambda y, p: reference.precision_score(y, p.argmax(axis=1)),
    "f1": lambda y, p: reference.f1_score(y, p.argmax(axis=1)),
    "roc_auc": lambda y, p: reference.roc_auc_score(y, p[:, 1]),
    "average_precision": lambda y, p: reference.average_precision_score(y, p[:, 1]),
    "brier": lambda y, p: reference.brier_score_loss(y, p[:, 1]),
}
SEVERAL: Mapping[str, Callable[[Any, Any], float]] = {
    "recall": lambda y, p: reference.balanced_accuracy_score(y, p.argmax(axis=1)),
    "precision": lambda y, p: reference.precision_score(y, p.argmax(axis=1), average="macro"),
    "f1": lambda y, p: reference.f1_score(y, p.argmax(axis=1), average="macro"),
    "roc_auc": lambda y, p: reference.roc_auc_score(y, p, multi_class="ovr", average="macro"),
    "recall of middle": lambda y, p: reference.recall_score(y == 1, p.argmax(axis=1) == 1),
    "precision of middle": lambda y, p: reference.precision_score(y == 1, p.argmax(axis=1) == 1),
    "f1 of high": lambda y, p: reference.f1_score(y == 2, p.argmax(axis=1) == 2),
}


def by_name(rows: tuple[RowMetric, ...]) -> dict[str, RowMetric]:
    return {row.metric: row for row in rows}


@pytest.mark.parametrize("mask", [ALL, HALF], ids=["all", "slice"])
@pytest.mark.parametrize("metric", BINARY)
def test_metrics_of_two_classes_are_those_of_scikit_learn(metric: str, mask: np.ndarray) -> None:
    row = by_name(class_rows(TWO, PAIR, ("no", "yes"), positive=1))[metric]

    found = measure_rows(row, mask)

    assert found.value == pytest.approx(BINARY[metric](TWO[mask], PAIR[mask]))
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < found.value < found.high <= 1


@pytest.mark.parametrize("mask", [ALL, HALF], ids=["all", "slice"])
@pytest.mark.parametrize("metric", SEVERAL)
def test_metrics_of_more_classes_are_those_of_scikit_learn(metric: str, mask: np.ndarray) -> None:
    row = by_name(class_rows(THREE, TRIPLE, NAMES))[metric]

    assert measure_rows(row, mask).value == pytest.approx(
        SEVERAL[metric](THREE[mask], TRIPLE[mask])
    )


def test_briers_score_of_several_classes_is_the_squared_distance() -> None:
    # (0.7 - 1)² + 0.2² + 0.1² = 0.14
    assert brier_scores(np.array([0]), np.array([[0.7, 0.2, 0.1]])) == pytest.approx([0.14])


def test_the_variance_of_an_area_is_delongs() -> None:
    positive = TWO == 1
    wins = np.sign(SCORES[positive][:, None] - SCORES[~positive][None, :]) / 2 + 0.5
    of_positive, of_negative = wins.mean(axis=1), wins.mean(axis=0)
    delong = of_positive.var() / len(of_positive) + of_negative.var() / len(of_negative)

    assert auc_influences(positive, SCORES).var() / N == pytest.approx(delong)


@pytest.mark.parametrize("metric", ["average_precision", "f1", "precision", "roc_auc"])
def test_intervals_are_as_wide_as_those_of_resampling(metric: str) -> None:
    row = by_name(class_rows(TWO, PAIR, ("no", "yes"), positive=1))[metric]
    draws = np.random.default_rng(1)
    drawn = (draws.integers(0, N, N) for _ in range(400))
    ends = np.percentile([BINARY[metric](TWO[i], PAIR[i]) for i in drawn], [2.5, 97.5])

    found = measurement(row, ALL)

    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(ends[1] - ends[0], rel=0.12)
    assert [found.low, found.high] == pytest.approx(ends, abs=0.02)


def test_influences_on_average_precision_are_its_derivatives() -> None:
    positive, step = TWO == 1, 1e-5
    influences = average_precision_influences(positive, SCORES)

    for row in (0, 7, 200):
        weights = np.ones(N)
        weights[row] += step
        moved = reference.average_precision_score(positive, SCORES, sample_weight=weights)
        still = reference.average_precision_score(positive, SCORES)
        assert influences[row] - still == pytest.approx((moved - still) / step * N, rel=1e-3)


def test_a_perfect_ranking_has_the_interval_of_its_rarer_class() -> None:
    positive = np.arange(100) < 10
    area, _ = ranking_rows(positive, positive.astype(float))

    found = measurement(area, np.ones(100, bool))

    # Wilson's interval of ten of ten.
    assert (found.value, found.n) == (1, 10)
    assert found.high == pytest.approx(1)
    assert found.low == pytest.approx(0.7225, abs=1e-4)


def test_a_class_that_never_occurs_is_measured_on_no_row() -> None:
    rows = class_rows(TWO, PAIR, ("no", "yes"), positive=1)
    nobody = TWO == 0

    found = {m.metric: m for m in measured(rows, {"nobody": nobody}) if m.slice}

    assert (found["recall"].n, found["roc_auc"].n) == (0, 0)
    assert math.isnan(found["recall"].value)
    assert math.isnan(found["roc_auc"].value)


def test_a_class_that_is_never_answered_has_no_precision() -> None:
    never = np.tile([1.0, 0.0], (N, 1))
    rows = by_name(class_rows(TWO, never, ("no", "yes"), positive=1))

    assert [measure_rows(rows[name], ALL).value for name in ("precision", "f1")] == [0, 0]
