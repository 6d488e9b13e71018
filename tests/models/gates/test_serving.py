"""Gates on the version as it will be served."""

import math
from dataclasses import replace

import pytest

from overnight.models.gates import SamePredictions, WithinBudget
from overnight.models.metrics.evaluation import Evaluation, Sameness
from overnight.store.errors import ConfigurationError
from tests.support.evaluations import STEP, rehearsed

GATE = SamePredictions(tolerance=0.1, changed_share=0.001)
SAME = [True, True]


@pytest.mark.parametrize(
    ("answers", "passes"),
    [
        (Sameness(1000, 0.0, 0), [True, True]),
        (Sameness(1000, 0.1, 1), [True, True]),
        (Sameness(1000, 0.0, 2), [False, True]),
        (Sameness(1000, 0.1 + STEP, 0), [True, False]),
        (Sameness(1000, math.nan, 0), [True, False]),
        (Sameness(1000, math.inf, 0), [True, False]),
        (Sameness(0, 0.0, 0), [False]),
        (None, [False]),
    ],
)
def test_exported_and_served_answers_must_be_those_of_training(
    answers: Sameness | None, passes: list[bool]
) -> None:
    exported = replace(rehearsed(), exported=answers)
    served = replace(rehearsed(), rehearsal=None) if answers is None else rehearsed(**vars(answers))

    assert [finding.passed for finding in GATE.findings(exported)] == [*passes, *SAME]
    assert [finding.passed for finding in GATE.findings(served)] == [*SAME, *passes]


def test_each_finding_says_whose_answers_it_is_about() -> None:
    assert [finding.metric for finding in GATE.findings(rehearsed())] == [
        "changed answers exported",
        "largest difference exported",
        "changed answers over HTTP",
        "largest difference over HTTP",
    ]


@pytest.mark.parametrize("over", ["p99_ms", "resident_mb", "size_mb"])
def test_each_part_of_the_budget_holds_by_itself(over: str) -> None:
    gate = WithinBudget(p99_ms=10, resident_mb=100, size_mb=5)
    bound = getattr(gate, over)

    def failed(value: float) -> list[str]:
        return [f.metric for f in gate.findings(rehearsed(**{over: value})) if not f.passed]

    assert failed(bound) == failed(bound - STEP) == []
    assert failed(bound + STEP) == failed(math.nan) == [over]


@pytest.mark.parametrize("evaluation", [Evaluation(()), rehearsed(n=0)])
def test_a_budget_without_a_rehearsal_fails(evaluation: Evaluation) -> None:
    assert not any(finding.passed for finding in WithinBudget(1, 1, 1).findings(evaluation))


@pytest.mark.parametrize("bound", [math.nan, math.inf])
def test_a_bound_is_a_number(bound: float) -> None:
    with pytest.raises(ConfigurationError, match="expected a number"):
        WithinBudget(p99_ms=bound, resident_mb=1, size_mb=1)
    with pytest.raises(ConfigurationError, match="expected a number"):
        SamePredictions(tolerance=bound)
