"""Whole findings: every figure, slice and sentence that a gate puts into manifest and card.

`findings.json` has the findings that are right, checked by hand and, where a figure is of a test,
against its source; a field that is left out has its default.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overnight.models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Calibrated,
    Gate,
    MaximumRegression,
    MinimumImprovement,
    Robust,
    SamePredictions,
    WithinBudget,
)
from overnight.models.gates.shares import PairedShares
from overnight.models.metrics.evaluation import Changed, Evaluation, Sameness
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Finding, Measurement
from tests.support.evaluations import (
    compared_row_by_row,
    counted,
    measured,
    paired,
    rehearsed,
)

EXPECTED: Mapping[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "findings.json").read_text()
)


def of(metric: str, *values: tuple[str, float, int]) -> tuple[Measurement, ...]:
    return tuple(Measurement(metric=metric, value=v, n=n, slice=s) for s, v, n in values)


FEW_MANY_AND_ALL = Evaluation(of("accuracy", ("a", 0.5, 10), ("b", 0.9, 1_000), ("", 0.7, 1_000)))
INTERVAL = measured(0.95, low=0.94, high=0.96)
SOME_CALIBRATED = Evaluation(
    of("calibration_error", ("a", 0.01, 999), ("b", 0.01, 2_000), ("c", 0.03, 1_000))
    + of("calibration_floor", ("b", 0.004, 1), ("", 0.006, 1_000), ("c", math.nan, 1_000))
)
SERVED = replace(
    rehearsed(
        n=500,
        changed_answers=6,
        largest_difference=0.2,
        further=(Changed("seen", 1, exact=True), Changed("units", 5, exact=False)),
    ),
    exported=Sameness(
        1_000,
        0.05,
        10,
        (Changed("seen", 0, exact=True), Changed("units", 11, exact=False)),
    ),
)
TWO_SLICES = Evaluation(
    (), champion="v1", paired=(paired(30, 60, 1_000, "a"), paired(30, 40, 1_000, "b"))
)
ROWS, GROUPED = np.arange(40.0), np.arange(120.0)
BUDGET = WithinBudget(p99_ms=1.5, resident_mb=60, size_mb=1)
CASES: Mapping[str, tuple[Gate, Evaluation]] = {
    "AtLeast with an interval": (AtLeast("accuracy", 0.9), INTERVAL),
    "AtLeast with half an interval": (AtLeast("accuracy", 0.9), measured(0.95, low=0.94)),
    "AtLeast confident": (
        AtLeast("accuracy", 0.9, confident=True),
        measured(0.95, low=0.89, high=0.96),
    ),
    "AtLeast confident of what has no interval": (
        AtLeast("accuracy", 0.9, confident=True),
        measured(0.95, high=0.96),
    ),
    "AtLeast of an optional slice": (
        AtLeast("accuracy", 0.4, ("a", "b"), optional=True),
        FEW_MANY_AND_ALL,
    ),
    "AtLeast of too few": (AtLeast("accuracy", 0.4, ("a", "b")), FEW_MANY_AND_ALL),
    "AtLeast of nothing": (AtLeast("accuracy", 0.4), Evaluation(())),
    "AtMost": (AtMost("accuracy", 0.9), INTERVAL),
    "AtMost confident": (AtMost("accuracy", 0.955, confident=True), INTERVAL),
    "Calibrated": (Calibrated(0.02, ("a", "b", "c", "d")), SOME_CALIBRATED),
    "Robust": (Robust(0.8, ("a", "b", "c")), FEW_MANY_AND_ALL),
    "Robust without a baseline": (Robust(0.8, ("b",)), measured(0.79, n=30, slice="b")),
    "SamePredictions": (SamePredictions(0.1, 0.01), SERVED),
    "SamePredictions of nothing": (SamePredictions(0.1), rehearsed(n=0)),
    "WithinBudget": (BUDGET, rehearsed()),
    "WithinBudget of nothing": (BUDGET, rehearsed(n=0)),
    "MaximumRegression": (MaximumRegression(0.01), counted(30, 40)),
    "MaximumRegression of a slice": (
        MaximumRegression(0.01, ("a",)),
        counted(3, 400, 10_000, "a"),
    ),
    "MaximumRegression of two presumed no worse": (
        MaximumRegression(0, ("a", "b"), presumed="no worse"),
        TWO_SLICES,
    ),
    "MaximumRegression of one presumed no worse": (
        MaximumRegression(0.01, presumed="no worse", alpha=0.05),
        counted(30, 60, 1_000),
    ),
    "MaximumRegression of an optional slice": (
        MaximumRegression(0.01, ("a", "b", "c"), optional=True, minimum_rows=200),
        Evaluation((), champion="v1", paired=(paired(1, 1, 199, "a"), paired(9, 8, 2_000, "b"))),
    ),
    "MaximumRegression of too few and of enough, presumed no worse": (
        MaximumRegression(0.01, ("few", "a"), presumed="no worse"),
        Evaluation((), champion="v1", paired=(paired(0, 0, 99, "few"), paired(5, 5, 100, "a"))),
    ),
    "MaximumRegression of optional slices without and with just enough rows": (
        MaximumRegression(0.1, ("none", "just"), optional=True),
        Evaluation((), champion="v1", paired=(paired(0, 0, 0, "none"), paired(5, 5, 100, "just"))),
    ),
    "MaximumRegression of no row": (MaximumRegression(0.1), counted(0, 0, 0)),
    "MaximumRegression of too few": (MaximumRegression(0.01), counted(1, 1, 99)),
    "MaximumRegression without a champion": (
        MaximumRegression(0.01, ("", "a")),
        Evaluation(()),
    ),
    "MaximumRegression of errors presumed no worse": (
        MaximumRegression(0.1, metric="error", presumed="no worse", minimum_rows=40),
        compared_row_by_row(ROWS % 7 + ROWS % 3 * 0.2, ROWS % 7),
    ),
    "MaximumRegression of equal errors": (
        MaximumRegression(0, metric="error", presumed="no worse", minimum_rows=40),
        compared_row_by_row(ROWS % 7, ROWS % 7),
    ),
    "MaximumRegression of errors that all grew alike": (
        MaximumRegression(0.1, metric="error", presumed="no worse", minimum_rows=40),
        compared_row_by_row(ROWS % 7 + 0.25, ROWS % 7),
    ),
    "MinimumImprovement": (MinimumImprovement(0), counted(60, 30)),
    "MinimumImprovement by a margin": (MinimumImprovement(0.01), counted(60, 30)),
    "MinimumImprovement without a comparison": (
        MinimumImprovement(0),
        Evaluation((), champion="v1"),
    ),
    "BetterThan": (
        BetterThan("error", "naive"),
        compared_row_by_row(ROWS % 7, ROWS % 7 + ROWS % 3),
    ),
    "BetterThan on a slice, by groups that weigh": (
        BetterThan("error", "naive", ("even",)),
        compared_row_by_row(
            GROUPED % 7,
            GROUPED % 7 + GROUPED % 3,
            weights=1 + GROUPED % 4,
            units=(GROUPED // 3).astype(int),
            slices={"even": GROUPED % 2 == 0},
        ),
    ),
    "BetterThan of too few": (
        BetterThan("error", "naive"),
        compared_row_by_row(ROWS[:20], ROWS[:20]),
    ),
    "BetterThan of nothing": (BetterThan("error", "naive"), Evaluation(())),
}


def written(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as JSON has them, with figures that may differ by rounding."""
    return [
        {
            name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            for name, value in finding.model_dump(exclude_defaults=True).items()
        }
        for finding in findings
    ]


@pytest.mark.parametrize("case", CASES)
def test_findings_are_right_in_every_field(case: str) -> None:
    gate, evaluation = CASES[case]

    found = list(gate.findings(evaluation))

    assert written(found) == EXPECTED[case]


def test_every_expected_finding_is_asked_for() -> None:
    assert list(CASES) == list(EXPECTED)


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda: AtLeast("m", math.nan), "AtLeast.bound: expected a number, found nan"),
        (lambda: AtLeast("m", 1, ()), "AtLeast.slices: expected at least one name, found ()"),
        (lambda: AtMost("m", math.inf), "AtMost.bound: expected a number, found inf"),
        (lambda: AtMost("m", 1, ("a", "a")), "AtMost.slices: expected each name once"),
        (lambda: AtMost("m", 1, minimum_rows=0), "AtMost.minimum_rows: expected at least 1"),
        (lambda: Calibrated(math.nan), "Calibrated.at_most: expected a number"),
        (lambda: Calibrated(0.1, ()), "Calibrated.slices: expected at least one name"),
        (lambda: Robust(math.nan, ("a",)), "Robust.at_least: expected a number"),
        (lambda: Robust(0.5, ()), "Robust.slices: expected at least one name"),
        (lambda: BetterThan("m", "b", ()), "BetterThan.slices: expected at least one name"),
        (
            lambda: BetterThan("m", "b", alpha=0.6),
            "BetterThan.alpha: expected above 0 and at most 0.5, found 0.6",
        ),
        (
            lambda: SamePredictions(math.nan),
            "SamePredictions.tolerance: expected a number, found nan",
        ),
        (
            lambda: SamePredictions(0.1, math.nan),
            "SamePredictions.changed_share: expected a number",
        ),
        (
            lambda: WithinBudget(p99_ms=math.inf, resident_mb=1, size_mb=1),
            "WithinBudget.p99_ms: expected a number",
        ),
        (
            lambda: WithinBudget(p99_ms=1, resident_mb=math.nan, size_mb=1),
            "WithinBudget.resident_mb: expected a number",
        ),
        (
            lambda: WithinBudget(p99_ms=1, resident_mb=1, size_mb=math.nan),
            "WithinBudget.size_mb: expected a number",
        ),
        (
            lambda: MaximumRegression(-0.1),
            "MaximumRegression.margin: expected at least 0 (its name says the sign), found -0.1",
        ),
        (
            lambda: MaximumRegression(0.1, ()),
            "MaximumRegression.slices: expected at least one name",
        ),
        (
            lambda: MaximumRegression(0),
            (
                "MaximumRegression.margin: expected above 0, because an equal can never show that "
                'it is not worse at all; or MinimumImprovement(0), or presumed="no worse", found 0;'
            ),
        ),
        (
            lambda: MinimumImprovement(-0.1),
            "MinimumImprovement.margin: expected at least 0 (its name says the sign)",
        ),
        (
            lambda: MinimumImprovement(0, alpha=0.6),
            "MinimumImprovement.alpha: expected above 0 and at most 0.5, found 0.6",
        ),
        (
            lambda: MinimumImprovement(0, ()),
            "MinimumImprovement.slices: expected at least one name",
        ),
    ],
)
def test_a_declaration_that_could_refuse_nothing_is_an_error(declare: Any, why: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        declare()

    assert str(raised.value).startswith(why)
    assert str(raised.value).endswith("; correct the model's gates")


def test_no_difference_of_shares_is_beyond_one() -> None:
    equal, apart = PairedShares(50, 0, 0), PairedShares(50, 30, 2)

    p_values = [apart.p_value_at_most(bound) for bound in (-2, -1, 1, 2)]

    assert p_values == [0.0, 0.0, 1.0, 1.0]
    assert equal.p_value_at_most(0) == equal.p_value_at_least(0) == 1.0
    assert 0 < apart.p_value_at_most(-0.5) < apart.p_value_at_most(0.5) < 1
