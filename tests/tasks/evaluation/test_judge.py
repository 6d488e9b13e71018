"""A verdict keeps every finding, and a model without gates is a mistake."""

from dataclasses import replace

import numpy as np
import pytest

from overnight.models.examples import Examples
from overnight.models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Gate,
    MaximumRegression,
    MinimumImprovement,
    WithinBudget,
)
from overnight.models.metrics.evaluation import Evaluation, Rehearsal, RowMetric
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Finding, Measurement
from overnight.tasks.evaluation.judge import Verdict, check_attainable, judge

EVALUATION = Evaluation((Measurement(metric="accuracy", value=0.8, n=100),))


def test_every_gate_runs_even_after_one_failed() -> None:
    verdict = judge(EVALUATION, [AtLeast("accuracy", 0.9), AtMost("accuracy", 0.9)])

    assert [finding.passed for finding in verdict.findings] == [False, True]
    assert not verdict.passed
    assert str(verdict) == "1 of 2 gates failed: AtLeast accuracy: 0.8000, at least 0.9"


def test_a_refusal_by_cost_alone_is_recognised() -> None:
    cost = Rehearsal(10, 0.0, 0, p50_ms=1, p99_ms=99, resident_mb=1, size_mb=1)
    slow = replace(EVALUATION, rehearsal=cost)
    budget = WithinBudget(p99_ms=10, resident_mb=10, size_mb=10)

    assert judge(slow, [budget]).by_cost_alone
    assert not judge(slow, [budget, AtLeast("accuracy", 0.9)]).by_cost_alone
    assert not judge(slow, [AtLeast("accuracy", 0.1)]).by_cost_alone


def test_answers_changed_by_serving_count_as_cost() -> None:
    over_http = Finding(
        gate="SamePredictions", metric="changed answers over HTTP", passed=False, message="m"
    )
    exported = over_http.model_copy(update={"metric": "changed answers exported"})

    assert Verdict((over_http,)).by_cost_alone
    assert not Verdict((over_http, exported)).by_cost_alone


def test_a_long_refusal_is_abbreviated() -> None:
    verdict = judge(EVALUATION, [AtLeast("accuracy", 0.9)] * 5)

    assert str(verdict).endswith("; and 2 more")
    assert len(verdict.refused) == 5


def test_a_refused_comparison_is_given_in_figures() -> None:
    worse = Finding(
        gate="MaximumRegression", metric="accuracy", passed=False, message="a long one",
        value=-0.0041, bound=-0.003, p=0.8476, alpha=0.025, candidate=0.9907, champion=0.9948,
        presumed="worse",
    )  # fmt: skip
    seven = worse.model_copy(update={"slice": "digit 7", "value": -0.0126})
    error = worse.model_copy(
        update={"metric": "wape", "value": -0.0089, "candidate": 0.3123, "champion": 0.3034}
    )
    fine = Finding(gate="AtLeast", metric="accuracy", passed=True, message="m")

    verdict = Verdict((worse, seven, error, fine))

    assert str(verdict).replace("\N{MINUS SIGN}", "-") == (
        "3 of 4 gates failed: accuracy 99.07 % against 99.48 %: -0.41 points, allowed -0.30, "
        "p = 0.85; digit 7 -1.26 points; "
        "wape 0.3123 against 0.3034: 0.0089 worse, allowed 0.003, p = 0.85"
    )


def test_a_verdict_passes_when_all_findings_do() -> None:
    assert judge(EVALUATION, [AtLeast("accuracy", 0.8)]).passed


def test_a_model_without_gates_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="no gate is declared"):
        judge(EVALUATION, [])


def labelled(n: int, **slices: int) -> Examples:
    masks = {name: np.arange(n) < rows for name, rows in slices.items()}
    return Examples({}, np.zeros(n), masks)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (MaximumRegression(margin=0.1), "the holdout has 50 rows, and it needs at least 100"),
        (MinimumImprovement(0), "the holdout has 50 rows, and it needs at least 100"),
        (
            BetterThan("accuracy", "trivial", slices=("", "few")),
            "the slice 'few' of the holdout has 7 rows, and it needs at least 30",
        ),
    ],
)
def test_a_comparison_that_can_never_hold_is_an_error_before_training(
    gate: Gate, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as reported:
        check_attainable([gate], labelled(50, few=7))

    assert "can never hold" in str(reported.value)
    assert "minimum_rows=" in str(reported.value)


def test_gates_that_can_hold_or_whose_slice_may_be_missing_are_accepted() -> None:
    gates = [
        MaximumRegression(margin=0.1, minimum_rows=50),
        MaximumRegression(margin=0.1, slices=("few",), optional=True),
        BetterThan("accuracy", "trivial"),
        # A slice that the model's own metrics report need not be one of the holdout's.
        AtLeast("accuracy", 0.9, slices=("reported",)),
    ]

    check_attainable(gates, labelled(50, few=7))


def test_too_few_rows_of_a_frozen_holdout_are_an_error_and_of_a_moving_one_a_refusal() -> None:
    gate = AtLeast("accuracy", 0.5, minimum_rows=101)

    assert not judge(EVALUATION, [gate]).passed
    with pytest.raises(ConfigurationError, match="AtLeast can never hold: the holdout has 100"):
        judge(EVALUATION, [gate], frozen_holdout=True)
    # A candidate that is merely too weak is refused all the same.
    assert not judge(EVALUATION, [AtLeast("accuracy", 0.9)], frozen_holdout=True).passed


def test_too_few_units_are_an_error_at_the_first_evaluation_before_there_is_a_champion() -> None:
    # Given 200 rows of 20 writers, who are the units that a comparison counts.
    units = np.arange(200) % 20
    rows = RowMetric("error", np.random.default_rng(1).random(200), better="lower", units=units)
    first = replace(EVALUATION, rows=(rows,))
    gate = MaximumRegression(metric="error", margin=0.1)

    with pytest.raises(ConfigurationError, match="has 20 rows, and it needs at least 100"):
        judge(first, [gate], frozen_holdout=True)
    assert judge(first, [replace(gate, minimum_rows=20)], frozen_holdout=True).passed


class Silent:
    """A gate that never says anything."""

    def findings(self, evaluation: Evaluation) -> tuple[Finding, ...]:
        return ()


def test_a_gate_without_findings_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="Silent returned no finding"):
        judge(EVALUATION, [AtLeast("accuracy", 0.8), Silent()])
