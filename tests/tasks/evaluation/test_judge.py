"""A verdict keeps every finding, and a model without gates is a mistake."""

from dataclasses import replace

import pytest

from overnight.models.gates import AtLeast, AtMost, WithinBudget
from overnight.models.metrics.evaluation import Evaluation, Rehearsal
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Finding, Measurement
from overnight.tasks.evaluation.judge import Verdict, judge

EVALUATION = Evaluation((Measurement(metric="accuracy", value=0.8, n=100),))


def test_every_gate_runs_even_after_one_failed() -> None:
    verdict = judge(EVALUATION, [AtLeast("accuracy", 0.9), AtMost("accuracy", 0.9)])

    assert [finding.passed for finding in verdict.findings] == [False, True]
    assert not verdict.passed
    assert str(verdict) == "AtLeast accuracy: 0.8000, at least 0.9"


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


def test_a_verdict_passes_when_all_findings_do() -> None:
    assert judge(EVALUATION, [AtLeast("accuracy", 0.8)]).passed


def test_a_model_without_gates_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="no gate is declared"):
        judge(EVALUATION, [])


class Silent:
    """A gate that never says anything."""

    def findings(self, evaluation: Evaluation) -> tuple[Finding, ...]:
        return ()


def test_a_gate_without_findings_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="Silent returned no finding"):
        judge(EVALUATION, [AtLeast("accuracy", 0.8), Silent()])
