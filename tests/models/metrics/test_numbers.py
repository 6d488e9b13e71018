"""Metrics of predicted numbers, against scikit-learn and resampling."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from overnight.models.metrics.evaluation import RowMetric
from overnight.models.metrics.measuring import measure_rows, measured
from overnight.models.metrics.numbers import bias_row, number_rows, quantile_rows

RANDOM = np.random.default_rng(12)
N = 500
TRUTH = RANDOM.gamma(3, 10, N)
ANSWERED = TRUTH * 0.8 + RANDOM.normal(4, 8, N)
QUANTILES = (0.1, 0.5, 0.9)
ENDS = np.column_stack([ANSWERED - 9, ANSWERED, ANSWERED + 9])
ALL, HALF = np.ones(N, bool), np.arange(N) < 200
REFERENCE = {
    "mae": reference.mean_absolute_error,
    "rmse": reference.root_mean_squared_error,
    "r2": reference.r2_score,
    "bias": lambda truth, answered: (answered - truth).mean(),
}


def rows() -> dict[str, RowMetric]:
    every = (*number_rows(TRUTH, ANSWERED), bias_row(TRUTH, ANSWERED))
    return {row.metric: row for row in every}


@pytest.mark.parametrize("mask", [ALL, HALF], ids=["all", "slice"])
@pytest.mark.parametrize("metric", REFERENCE)
def test_metrics_of_numbers_are_those_of_scikit_learn(metric: str, mask: np.ndarray) -> None:
    found = measure_rows(rows()[metric], mask)

    assert found.value == pytest.approx(REFERENCE[metric](TRUTH[mask], ANSWERED[mask]))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


@pytest.mark.parametrize("metric", REFERENCE)
def test_intervals_are_those_of_resampling(metric: str) -> None:
    draws = np.random.default_rng(2)
    drawn = (draws.integers(0, N, N) for _ in range(500))
    ends = np.percentile([REFERENCE[metric](TRUTH[i], ANSWERED[i]) for i in drawn], [2.5, 97.5])

    found = measure_rows(rows()[metric], ALL)

    assert [found.low, found.high] == pytest.approx(ends, rel=0.06, abs=0.08)


def test_the_pinball_loss_is_the_mean_over_quantiles() -> None:
    expected = [
        reference.mean_pinball_loss(TRUTH, ENDS[:, place], alpha=quantile)
        for place, quantile in enumerate(QUANTILES)
    ]

    pinball, coverage = quantile_rows(TRUTH, ENDS, QUANTILES)

    assert measure_rows(pinball, ALL).value == pytest.approx(np.mean(expected))
    inside = (np.abs(TRUTH - ANSWERED) <= 9).mean()
    assert measure_rows(coverage, ALL).value == pytest.approx(inside)


def test_baselines_are_measured_beside() -> None:
    baseline = number_rows(TRUTH, ANSWERED, {"zero": np.zeros(N)})[-1]

    assert baseline.metric == "zero_mae"
    assert measure_rows(baseline, ALL).value == pytest.approx(TRUTH.mean())


def test_correlated_rows_widen_an_interval() -> None:
    days = np.repeat(np.arange(N // 10), 10)
    shifted = ANSWERED + np.random.default_rng(3).normal(0, 15, N // 10)[days]
    independent, grouped = (
        measured(number_rows(TRUTH, shifted, units=units), {}) for units in (None, days)
    )

    for alone, together in zip(independent, grouped, strict=True):
        assert None not in (alone.low, alone.high, together.low, together.high)
        assert together.high - together.low > 1.3 * (alone.high - alone.low)  # type: ignore[operator]


def test_what_does_not_vary_is_not_explained() -> None:
    constant = np.full(N, 3.0)
    r2 = next(row for row in number_rows(constant, ANSWERED) if row.metric == "r2")
    rmse = next(row for row in number_rows(constant, constant) if row.metric == "rmse")

    assert math.isnan(measure_rows(r2, ALL).value)
    exact = measure_rows(rmse, ALL)
    assert (exact.value, exact.low, exact.high) == (0, None, None)
