"""Comparisons with the champion and with trivial rules: what passes, and what they say."""

import math

import numpy as np
import pytest

from overnight.models.gates import ALPHA, BetterThan, Gate, MaximumRegression, MinimumImprovement
from overnight.models.gates.shares import PairedShares
from overnight.models.metrics.evaluation import Evaluation, RowMetric
from overnight.store.errors import ConfigurationError
from tests.support.evaluations import compared_row_by_row, counted, only, paired

RANDOM = np.random.default_rng(5)
NOISE = RANDOM.normal(size=1_000)
THEIRS = RANDOM.exponential(size=1_000) + 3
NO_WORSE = MaximumRegression(margin=0, presumed="no worse")
RELATIVE: list[Gate] = [
    MaximumRegression(margin=0.1),
    MinimumImprovement(margin=0.1),
    NO_WORSE,
    MaximumRegression(margin=0.1, metric="error"),
]


@pytest.mark.parametrize(
    ("better", "worse", "passes"),
    [
        (30, 30, True),
        (30, 40, True),
        # In 10,000 rows the difference between these two is a single answer.
        (30, 42, True),
        (30, 43, False),
        (30, 60, False),
        (0, 100, False),
        (100, 0, True),
        (0, 0, True),
    ],
)
def test_a_candidate_presumed_worse_must_show_that_it_is_not(
    better: int, worse: int, passes: bool
) -> None:
    finding = only(MaximumRegression(margin=0.003), counted(better, worse))

    assert finding.passed is passes
    assert finding.p is not None
    assert (finding.p <= ALPHA) is passes
    assert (finding.bound, finding.alpha, finding.n) == (-0.003, ALPHA, 10_000)


@pytest.mark.parametrize(
    ("better", "worse", "passes"),
    [(5, 0, False), (6, 0, True), (0, 6, False), (30, 30, False), (36, 20, True), (35, 21, False)],
)
def test_an_improvement_is_shown_by_mcnemars_exact_test(
    better: int, worse: int, passes: bool
) -> None:
    # Six of six by a fair coin: 1/64, below 0.025; five of five: 1/32, above it.
    assert only(MinimumImprovement(margin=0), counted(better, worse)).passed is passes


@pytest.mark.parametrize(
    ("better", "worse", "passes"),
    [(0, 5, True), (0, 6, False), (30, 30, True), (20, 36, False), (0, 0, True)],
)
def test_a_candidate_presumed_no_worse_is_refused_only_when_shown(
    better: int, worse: int, passes: bool
) -> None:
    assert only(NO_WORSE, counted(better, worse)).passed is passes


@pytest.mark.parametrize(("slices", "passes"), [(1, False), (2, True)])
def test_many_slices_are_corrected_for(slices: int, passes: bool) -> None:
    # 1/64 by itself refuses; as the lowest of two it counts 2/64.
    names = tuple(f"digit {number}" for number in range(slices))
    counts = tuple(paired(0 if name == names[0] else 3, 6, 1_000, name) for name in names)
    gate = MaximumRegression(margin=0, slices=names, presumed="no worse")

    findings = list(gate.findings(Evaluation((), champion="v1", paired=counts)))

    assert [finding.slice for finding in findings] == list(names)
    assert all(finding.passed for finding in findings) is passes
    assert findings[0].p == pytest.approx(slices / 64)


def test_at_the_level_itself_it_is_shown() -> None:
    shares = PairedShares(10_000, 30, 40)
    p = shares.p_value_at_most(-0.003)

    assert only(MaximumRegression(margin=0.003, alpha=p), counted(30, 40)).passed
    assert not only(MaximumRegression(margin=0.003, alpha=p * (1 - 1e-9)), counted(30, 40)).passed


@pytest.mark.parametrize(
    ("gain", "gate", "passes"),
    [
        (-0.05, MaximumRegression(margin=0.2, metric="error"), True),
        (-0.25, MaximumRegression(margin=0.2, metric="error"), False),
        (0.25, MinimumImprovement(margin=0.1, metric="error"), True),
        (0.12, MinimumImprovement(margin=0.1, metric="error"), False),
        (-0.05, MaximumRegression(margin=0, metric="error", presumed="no worse"), True),
        (-0.25, MaximumRegression(margin=0, metric="error", presumed="no worse"), False),
        (0.25, BetterThan("error", baseline="naive"), True),
        (0.0, BetterThan("error", baseline="naive"), False),
        (-0.25, BetterThan("error", baseline="naive"), False),
    ],
)
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_metric_by_row_is_compared_whichever_way_it_points(
    gain: float, gate: Gate, passes: bool, better: str
) -> None:
    noise = NOISE - NOISE.mean() + gain
    mine = THEIRS + (noise if better == "higher" else -noise)

    finding = only(gate, compared_row_by_row(mine, THEIRS, better=better))

    assert finding.passed is passes
    assert finding.value == pytest.approx(gain)


def test_a_metric_is_compared_on_its_slice_alone() -> None:
    on = np.arange(1_000) < 500
    mine = THEIRS + np.where(on, 1, -1) + NOISE / 10
    gate = MaximumRegression(margin=0.1, metric="error", slices=("on", "off"))

    findings = gate.findings(compared_row_by_row(mine, THEIRS, slices={"on": on, "off": ~on}))

    assert [(finding.slice, finding.passed, finding.n) for finding in findings] == [
        ("on", False, 500),
        ("off", True, 500),
    ]


def test_rows_that_belong_together_are_one_piece_of_evidence() -> None:
    # Ten rows a day that err alike: a thousand rows are a hundred days.
    days = np.repeat(np.arange(100), 10)
    mine = THEIRS - np.repeat(RANDOM.normal(0.15, 1, 100), 10)
    gate = BetterThan("error", baseline="naive")

    alone, together = (
        only(gate, compared_row_by_row(mine, THEIRS)),
        only(gate, compared_row_by_row(mine, THEIRS, units=days)),
    )

    assert (alone.n, together.n) == (1_000, 100)
    assert alone.value == pytest.approx(together.value)
    assert alone.low is not None
    assert together.low is not None
    assert together.low < alone.low


def test_a_ratio_counts_its_rows_by_weight() -> None:
    weights = np.where(np.arange(1_000) < 100, 10.0, 1.0)
    mine = THEIRS - np.where(weights == 10, 1, 0)

    finding = only(
        BetterThan("error", baseline="naive"), compared_row_by_row(mine, THEIRS, weights=weights)
    )

    assert finding.value == pytest.approx(100 / weights.sum())


@pytest.mark.parametrize("gate", RELATIVE)
def test_without_a_champion_a_comparison_does_not_apply_and_says_so(gate: Gate) -> None:
    finding = only(gate, Evaluation(()))

    assert finding.passed
    assert not finding.applicable
    assert finding.message == "no champion to compare with"


ROWS = RowMetric("error", np.zeros(200), "lower")


@pytest.mark.parametrize(
    ("gate", "evaluation", "why"),
    [
        (MaximumRegression(0.1), Evaluation((), champion="v1"), "was not measured row by row"),
        (MaximumRegression(0.1), counted(0, 0, 0), "no row was compared"),
        (MaximumRegression(0.1), counted(9, 0, 99), "99 rows, at least 100 are needed"),
        (
            MaximumRegression(0.1, slices=("b",)),
            counted(9, 0, slice="a"),
            "was not measured row by row",
        ),
        (NO_WORSE, counted(0, 0, 0), "no row was compared"),
        (NO_WORSE, counted(0, 0, 99), "99 rows, at least 100 are needed"),
        (
            MaximumRegression(0.1, metric="error"),
            Evaluation((), champion="v1", rows=(ROWS,)),
            "error was not measured row by row",
        ),
        (
            MaximumRegression(0.1, metric="error", slices=("nowhere",)),
            compared_row_by_row(THEIRS, THEIRS),
            "no slice is called nowhere",
        ),
        (
            MaximumRegression(0.1, metric="error", slices=("empty",)),
            compared_row_by_row(THEIRS, THEIRS, slices={"empty": np.zeros(1_000, bool)}),
            "no row was compared",
        ),
        (
            MaximumRegression(0.1, metric="error"),
            compared_row_by_row(np.where(THEIRS > 5, math.nan, THEIRS), THEIRS),
            "error is not a number on",
        ),
        (
            MaximumRegression(0.1, metric="error"),
            compared_row_by_row(THEIRS, THEIRS, weights=np.zeros(1_000)),
            "negative or add up to 0",
        ),
        (
            MaximumRegression(0.1, metric="error"),
            Evaluation(
                (),
                champion="v1",
                rows=(ROWS,),
                champion_rows=compared_row_by_row(NOISE, NOISE).rows,
            ),
            "are not of the same rows",
        ),
        (
            BetterThan("error", "nothing"),
            compared_row_by_row(NOISE, THEIRS),
            "nothing was not measured",
        ),
        (
            BetterThan("nothing", "naive"),
            compared_row_by_row(NOISE, THEIRS),
            "nothing was not measured",
        ),
        (
            BetterThan("error", "naive"),
            compared_row_by_row(NOISE[:29], THEIRS[:29]),
            "29 rows, at least 30",
        ),
    ],
)
def test_what_cannot_be_compared_fails_and_says_why(
    gate: Gate, evaluation: Evaluation, why: str
) -> None:
    finding = only(gate, evaluation)

    assert not finding.passed
    assert finding.applicable
    assert why in finding.message


def test_accuracy_by_row_is_counted_and_tested_exactly() -> None:
    # Ninety rows right against sixty of the majority's: won 40, lost 10 of a hundred.
    mine, trivial = np.repeat([1, 0, 1], [40, 10, 50]), np.repeat([0, 1, 1], [40, 10, 50])

    finding = only(
        BetterThan("error", "naive"), compared_row_by_row(mine, trivial, better="higher")
    )

    assert finding.p == pytest.approx(PairedShares(100, 40, 10).p_value_at_most(0))
    assert "right where it was wrong 40, wrong where it was right 10" in finding.message


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda: MaximumRegression(margin=-0.01), "expected at least 0 .its name says the sign"),
        (lambda: MinimumImprovement(margin=-0.01), "expected at least 0 .its name says the sign"),
        (lambda: MaximumRegression(margin=0), "an equal can never show"),
        (lambda: MaximumRegression(margin=math.nan), "expected a number"),
        (lambda: MaximumRegression(margin=0.1, alpha=0), "expected above 0"),
        (lambda: MaximumRegression(margin=0.1, alpha=0.6), "at most 0.5"),
        (lambda: MinimumImprovement(margin=0.1, slices=()), "expected at least one name"),
        (lambda: BetterThan("a", "b", minimum_rows=0), "expected at least 1"),
        (
            lambda: RowMetric("error", np.zeros(3), "lower", weights=np.zeros(2)),
            r"values, weights and units of one shape \[n\]",
        ),
    ],
)
def test_a_comparison_that_is_declared_wrongly_is_refused(declare: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        declare()  # type: ignore[operator]
