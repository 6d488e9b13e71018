"""Every gate at its bound, on either side of it, and without evidence."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest

import overnight.models.data_gates.drift
import overnight.models.gates
from overnight.models.data_gates.drift import ColumnSample, SameShares, SameSpread, ShiftGate
from overnight.models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Calibrated,
    Gate,
    MaximumGap,
    MaximumRegression,
    MinimumImprovement,
    Robust,
    SamePredictions,
    WithinBudget,
)
from overnight.models.metrics.evaluation import Evaluation, Sameness
from overnight.store.registry.manifest import Finding, Measurement
from tests.support.evaluations import STEP, compared_row_by_row, measured, only, rehearsed

# Of a level, so little that no other test statistic lies between.
HAIR = 1e-9
DRAWS = np.random.default_rng(8)
NOISE = DRAWS.normal(size=1_000)
TRUTH = DRAWS.exponential(size=1_000) + 3
Ask = Callable[[], Finding]


@dataclass(frozen=True)
class Case:
    """A gate asked seven times. `good` is far within its bound, on as few rows as it takes."""

    good: Ask
    at: Ask
    inside: Ask
    outside: Ask
    nan: Ask
    empty: Ask
    missing: Ask
    # One row fewer than `good`; a gate that takes any number has none.
    few: Ask | None = None
    # Refused by what is shown, not passed by it: the level itself refuses.
    refuses_at: bool = False


def bounded(gate: Gate, metric: str, *, least: int, sign: int, slice: str = "") -> Case:
    """A gate on one measurement whose bound is 0.5; above it is better when the sign is 1."""

    def ask(value: float, n: int = 10_000) -> Ask:
        return lambda: only(gate, measured(value, metric=metric, n=n, slice=slice))

    return Case(
        good=ask(0.5 + sign * 0.4, least),
        at=ask(0.5),
        inside=ask(0.5 + sign * STEP),
        outside=ask(0.5 - sign * STEP),
        nan=ask(math.nan),
        empty=ask(math.nan, 0),
        missing=lambda: only(gate, Evaluation(())),
        few=ask(0.5 + sign * 0.4, least - 1),
    )


def gap() -> Case:
    """Two groups that differ by so much; the bound is 0.1."""
    gate = MaximumGap("recall", between="group", at_most=0.1)

    def ask(apart: float, n: int = 10_000) -> Ask:
        measurements = tuple(
            Measurement(metric="recall", value=value, n=n, slice=f"group={name}")
            for name, value in (("a", 0.0), ("b", apart))
        )
        return lambda: only(gate, Evaluation(measurements))

    return Case(
        good=ask(0.0, 30),
        at=ask(0.1),
        inside=ask(0.1 - STEP),
        outside=ask(0.1 + STEP),
        nan=ask(math.nan),
        empty=ask(math.nan, 0),
        missing=lambda: only(gate, Evaluation(())),
        few=ask(0.0, 29),
    )


def comparing(
    declare: Callable[..., Gate], *, least: int, gain: float, refuses_at: bool = False
) -> Case:
    """A gate on a metric by row, at the level that the rows themselves reach."""
    mine = TRUTH - (NOISE - NOISE.mean()) - gain
    evaluation = compared_row_by_row(mine, TRUTH)
    level = only(declare(), evaluation).p
    assert level is not None
    assert 0.001 < level < 0.4
    away = 1 - HAIR if refuses_at else 1 + HAIR

    def ask(rows: Evaluation, alpha: float = 0.025) -> Ask:
        return lambda: only(declare(alpha=alpha), rows)

    few = TRUTH[:least] - 5 + NOISE[:least] / 10
    return Case(
        good=ask(compared_row_by_row(few, TRUTH[:least])),
        at=ask(evaluation, level),
        inside=ask(evaluation, level * away),
        outside=ask(evaluation, level / away),
        nan=ask(compared_row_by_row(np.where(TRUTH[7] == TRUTH, math.nan, mine), TRUTH)),
        empty=ask(compared_row_by_row(mine[:0], TRUTH[:0])),
        missing=ask(replace(evaluation, rows=(), champion_rows=())),
        few=ask(compared_row_by_row(few[:-1], TRUTH[: least - 1])),
        refuses_at=refuses_at,
    )


def budget() -> Case:
    gate = WithinBudget(p99_ms=10, resident_mb=1_000, size_mb=1_000)

    def ask(evaluation: Evaluation) -> Ask:
        return lambda: next(iter(gate.findings(evaluation)))

    return Case(
        good=ask(rehearsed(n=1)),
        at=ask(rehearsed(p99_ms=10.0)),
        inside=ask(rehearsed(p99_ms=10 - STEP)),
        outside=ask(rehearsed(p99_ms=10 + STEP)),
        nan=ask(rehearsed(p99_ms=math.nan)),
        empty=ask(rehearsed(n=0)),
        missing=ask(Evaluation(())),
    )


def sameness(how: str) -> Case:
    """The largest difference, of what was exported or asked over HTTP."""
    gate = SamePredictions(tolerance=0.1)

    def ask(difference: float, n: int = 1_000) -> Ask:
        if how == "exported":
            return about(replace(rehearsed(), exported=Sameness(n, difference, 0)))
        return about(rehearsed(n=n, largest_difference=difference))

    def about(evaluation: Evaluation) -> Ask:
        return lambda: [
            finding for finding in gate.findings(evaluation) if finding.metric.endswith(how)
        ][-1]

    return Case(
        good=ask(0.0, 1),
        at=ask(0.1),
        inside=ask(0.1 - STEP),
        outside=ask(0.1 + STEP),
        nan=ask(math.nan),
        empty=ask(0.0, 0),
        missing=about(Evaluation(())),
    )


def shifted(
    declare: Callable[[float], ShiftGate], wrap: Callable[..., ColumnSample], moved: np.ndarray
) -> Case:
    learned = np.tile(np.arange(10.0), 100)
    apart = declare(0.0).finding("n", wrap(moved), wrap(learned)).value
    assert apart is not None

    def ask(bound: float, sample: ColumnSample) -> Ask:
        return lambda: declare(bound).finding("n", sample, wrap(learned))

    return Case(
        good=ask(apart, wrap(learned)),
        at=ask(apart, wrap(moved)),
        inside=ask(apart + STEP, wrap(moved)),
        outside=ask(apart - STEP, wrap(moved)),
        nan=ask(1.0, wrap(np.array([1.0, math.inf, 2.0]))),
        empty=ask(1.0, wrap(learned[:0])),
        missing=ask(1.0, ColumnSample(3)),
    )


LEARNED = np.tile(np.arange(10.0), 100)
GATES: Mapping[str, Callable[[], Case]] = {
    "AtLeast": lambda: bounded(AtLeast("m", 0.5), "m", least=30, sign=1),
    "AtMost": lambda: bounded(AtMost("m", 0.5), "m", least=30, sign=-1),
    "Calibrated": lambda: bounded(Calibrated(0.5), "calibration_error", least=1_000, sign=-1),
    "Robust": lambda: bounded(Robust(0.5, ("dark",)), "accuracy", least=30, sign=1, slice="dark"),
    "MaximumGap": gap,
    "MaximumRegression": lambda: comparing(
        lambda **level: MaximumRegression(0.1, metric="error", **level), least=100, gain=-0.05
    ),
    "MaximumRegression, no worse": lambda: comparing(
        lambda **level: MaximumRegression(0, metric="error", presumed="no worse", **level),
        least=100,
        gain=-0.05,
        refuses_at=True,
    ),
    "MinimumImprovement": lambda: comparing(
        lambda **level: MinimumImprovement(0, metric="error", **level), least=100, gain=0.05
    ),
    "MinimumImprovement by a margin": lambda: comparing(
        lambda **level: MinimumImprovement(0.1, metric="error", **level), least=100, gain=0.15
    ),
    "BetterThan": lambda: comparing(
        lambda **level: BetterThan("error", "naive", **level), least=30, gain=0.05
    ),
    "SamePredictions": lambda: sameness("exported"),
    "SamePredictions over HTTP": lambda: sameness("over HTTP"),
    "WithinBudget": budget,
    "SameShares": lambda: shifted(
        lambda bound: SameShares("x", bound),
        lambda values: ColumnSample(len(values), categories={"x": values}),
        LEARNED[LEARNED < 7],
    ),
    "SameSpread": lambda: shifted(
        lambda bound: SameSpread("x", bound),
        lambda values: ColumnSample(len(values), numbers={"x": values}),
        LEARNED + 2,
    ),
}


@pytest.fixture(scope="module", params=sorted(GATES))
def requested(request: pytest.FixtureRequest) -> Case:
    return GATES[request.param]()


def test_no_gate_is_left_out() -> None:
    declared = {
        name for name in overnight.models.gates.__all__ if hasattr(_named(name), "findings")
    }
    shifts = {
        name for name in vars(overnight.models.data_gates.drift) if hasattr(_shift(name), "finding")
    }

    requested = {name.split(",")[0].split(" ")[0] for name in GATES}

    assert (declared | shifts) - {"Gate", "ShiftGate"} == requested


def _named(name: str) -> object:
    return getattr(overnight.models.gates, name)


def _shift(name: str) -> object:
    return getattr(overnight.models.data_gates.drift, name)


def test_what_is_good_passes_on_as_few_rows_as_are_required(requested: Case) -> None:
    found = requested.good()

    assert (found.passed, found.applicable) == (True, True), found.message


def test_at_its_bound_and_just_inside_it_passes_and_just_outside_it_does_not(
    requested: Case,
) -> None:
    passed = [ask().passed for ask in (requested.inside, requested.at, requested.outside)]

    assert passed == [True, not requested.refuses_at, False]


def test_the_criterion_that_pages_show_is_the_one_that_decided(requested: Case) -> None:
    for ask in (requested.good, requested.inside, requested.outside):
        found = ask()

        assert _holds(found.criterion, found) == found.passed, (found.criterion, found.message)


def _holds(criterion: str, found: Finding) -> bool:
    """Whether a finding meets what is shown as its criterion, as a reader would check it."""
    assert found.value is not None
    assert found.bound is not None
    if criterion.startswith("p = "):
        assert found.p is not None
        assert found.alpha is not None
        return found.p <= found.alpha if "≤" in criterion else found.p > found.alpha
    assert criterion[0] in "≥≤", criterion
    # As far as floats go: the bounds of some cases are sums.
    gain = found.value - found.bound if criterion[0] == "≥" else found.bound - found.value
    return gain >= -1e-12


@pytest.mark.parametrize(
    "gate",
    [
        MaximumRegression(0.1, metric="error"),
        MaximumRegression(0, metric="error", presumed="no worse"),
        MinimumImprovement(0, metric="error"),
    ],
    ids=str,
)
def test_a_comparison_records_both_values_and_what_was_presumed(gate: Gate) -> None:
    mine, champions = measured(0.4, metric="error"), measured(0.5, metric="error")

    found = only(
        gate,
        replace(
            compared_row_by_row(TRUTH - 0.1, TRUTH),
            measurements=mine.measurements,
            champion_measurements=champions.measurements,
        ),
    )

    assert (found.candidate, found.champion) == (0.4, 0.5)
    assert found.presumed == getattr(gate, "presumed", "worse")
    assert found.brief.startswith("error 0.4 against 0.5: ")


@pytest.mark.parametrize("how", ["nan", "empty", "missing", "few"])
def test_without_evidence_it_fails_and_says_why(requested: Case, how: str) -> None:
    ask: Ask | None = getattr(requested, how)
    if ask is None:
        assert how == "few"
        assert requested.good().passed
        return

    found = ask()

    assert (found.passed, found.applicable) == (False, True)
    assert found.message
    assert found.value is None or math.isfinite(found.value)
