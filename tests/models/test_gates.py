"""Gates at, just inside and just outside their bounds, and on what cannot be measured."""

import math

import pytest

from models.evaluation import Evaluation, Paired, Rehearsal
from models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Gate,
    MaximumRegression,
    MinimumImprovement,
    SamePredictions,
    WithinBudget,
    difference_interval,
)
from store.manifest import Finding, Measurement

STEP = 1e-9


def measured(
    value: float, *, n: int = 100, slice: str = "", low: float | None = None
) -> Evaluation:
    return Evaluation(
        (
            Measurement(metric="accuracy", value=value, n=n, slice=slice, low=low),
            Measurement(metric="majority_accuracy", value=0.5, n=n),
        )
    )


def compared(better: int, worse: int, n: int = 10_000) -> Evaluation:
    paired = Paired("", n - better - worse, better, worse, 0)
    return Evaluation((), champion="v1", paired=(paired,))


def rehearsed(**changes: float) -> Evaluation:
    whole = {
        "n": 1000,
        "largest_difference": 0.0,
        "changed_answers": 0,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "resident_mb": 50.0,
        "size_mb": 1.0,
    }
    return Evaluation((), rehearsal=Rehearsal(**{**whole, **changes}))  # type: ignore[arg-type]


def only(gate: Gate, evaluation: Evaluation) -> Finding:
    (finding,) = gate.findings(evaluation)
    return finding


@pytest.mark.parametrize(
    ("gate", "value", "passes"),
    [
        (AtLeast("accuracy", 0.9), 0.9, True),
        (AtLeast("accuracy", 0.9), 0.9 + STEP, True),
        (AtLeast("accuracy", 0.9), 0.9 - STEP, False),
        (AtMost("accuracy", 0.9), 0.9, True),
        (AtMost("accuracy", 0.9), 0.9 - STEP, True),
        (AtMost("accuracy", 0.9), 0.9 + STEP, False),
    ],
)
def test_bounds_are_inclusive(gate: Gate, value: float, passes: bool) -> None:
    finding = only(gate, measured(value))

    assert finding.passed is passes
    assert (finding.value, finding.bound, finding.n) == (value, 0.9, 100)


@pytest.mark.parametrize("gate", [AtLeast("accuracy", 0.0), AtMost("accuracy", 1.0)])
@pytest.mark.parametrize(
    ("evaluation", "why"),
    [
        (Evaluation(()), "was not measured"),
        (measured(math.nan), "is nan"),
        (measured(math.inf), "is inf"),
        (measured(0.5, n=0), "on no row"),
        (measured(0.5, slice="digit 1"), "was not measured"),
    ],
)
def test_what_cannot_be_measured_fails(gate: Gate, evaluation: Evaluation, why: str) -> None:
    finding = only(gate, evaluation)

    assert not finding.passed
    assert why in finding.message


def test_a_gate_on_slices_has_a_finding_for_each() -> None:
    findings = list(AtLeast("accuracy", 0.5, slices=("a", "b")).findings(measured(0.9, slice="a")))

    assert [(finding.slice, finding.passed) for finding in findings] == [("a", True), ("b", False)]


@pytest.mark.parametrize(("low", "passes"), [(0.5 + STEP, True), (0.5, False), (0.4, False)])
def test_a_trivial_rule_is_beaten_by_the_lower_end_of_the_interval(
    low: float, passes: bool
) -> None:
    gate = BetterThan("accuracy", baseline="majority_accuracy")

    assert only(gate, measured(0.9, low=low)).passed is passes


def test_a_missing_baseline_fails() -> None:
    assert (
        "nothing was not measured" in only(BetterThan("accuracy", "nothing"), measured(1)).message
    )


@pytest.mark.parametrize(
    ("better", "worse", "passes"),
    [
        (30, 30, True),
        (30, 40, True),
        (30, 60, False),
        (0, 100, False),
        (100, 0, True),
        (0, 0, True),
    ],
)
def test_a_regression_is_held_by_the_interval_of_paired_rows(
    better: int, worse: int, passes: bool
) -> None:
    assert only(MaximumRegression(margin=0.003), compared(better, worse)).passed is passes


def test_an_interval_just_at_the_margin_passes() -> None:
    evaluation = compared(30, 45)
    low = difference_interval(evaluation.paired[0])[1]

    assert only(MaximumRegression(margin=-low), evaluation).passed
    assert not only(MaximumRegression(margin=-low - STEP), evaluation).passed
    assert only(MinimumImprovement(margin=low), evaluation).passed
    assert not only(MinimumImprovement(margin=low + STEP), evaluation).passed


@pytest.mark.parametrize("gate", [MaximumRegression(margin=0.1), MinimumImprovement(margin=0.1)])
def test_without_a_champion_a_comparison_does_not_apply_and_says_so(gate: Gate) -> None:
    finding = only(gate, Evaluation(()))

    assert finding.passed
    assert not finding.applicable
    assert finding.message == "no champion to compare with"


@pytest.mark.parametrize("paired", [(), (Paired("", 0, 0, 0, 0),), (Paired("other", 9, 0, 0, 0),)])
def test_a_comparison_on_no_row_fails(paired: tuple[Paired, ...]) -> None:
    evaluation = Evaluation((), champion="v1", paired=paired)

    assert only(MaximumRegression(margin=1), evaluation).message == "no row was compared"
    assert not only(MaximumRegression(margin=1), evaluation).passed


def test_the_paired_interval_is_the_published_one() -> None:
    # Agresti and Min (2005), the prime minister's approval of Agresti's table: 1600 asked twice,
    # 150 and 86 changed their minds; by hand 64/1602 -+ 1.96 * sqrt(237 - 64^2/1602) / 1602.
    difference, low, high = difference_interval(Paired("", 794, 86, 150, 570))

    assert difference == pytest.approx(-0.04)
    assert (low, high) == pytest.approx((-0.05868, -0.02122), abs=2e-5)


@pytest.mark.parametrize(
    ("evaluation", "passes"),
    [
        (rehearsed(changed_answers=1, largest_difference=0.1), [True, True]),
        (rehearsed(changed_answers=2), [False, True]),
        (rehearsed(largest_difference=0.1 + STEP), [True, False]),
        (rehearsed(largest_difference=math.nan), [True, False]),
        (rehearsed(n=0), [False]),
        (Evaluation(()), [False]),
    ],
)
def test_served_answers_must_be_those_of_training(
    evaluation: Evaluation, passes: list[bool]
) -> None:
    gate = SamePredictions(tolerance=0.1, changed_share=0.001)

    assert [finding.passed for finding in gate.findings(evaluation)] == passes


@pytest.mark.parametrize("over", ["p99_ms", "resident_mb", "size_mb"])
def test_each_part_of_the_budget_holds_by_itself(over: str) -> None:
    gate = WithinBudget(p99_ms=10, resident_mb=100, size_mb=5)
    bound = getattr(gate, over)

    assert all(finding.passed for finding in gate.findings(rehearsed(**{over: bound})))
    failed = [f.metric for f in gate.findings(rehearsed(**{over: bound + STEP})) if not f.passed]
    assert failed == [over]


def test_a_budget_without_a_rehearsal_fails() -> None:
    assert not only(WithinBudget(1, 1, 1), Evaluation(())).passed
