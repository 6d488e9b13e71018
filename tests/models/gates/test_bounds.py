"""Gates with a number for a bound: at, just inside and just outside, and on what is no answer."""

import math

import pytest

from overnight.models.gates import AtLeast, AtMost, Calibrated, Gate, Robust
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Measurement
from tests.support.evaluations import STEP, measured, only

ECE = "calibration_error"


@pytest.mark.parametrize(
    ("gate", "metric", "slice", "sign"),
    [
        (AtLeast("accuracy", 0.9), "accuracy", "", 1),
        (AtMost("accuracy", 0.9), "accuracy", "", -1),
        (AtLeast("accuracy", 0.9, slices=("a",)), "accuracy", "a", 1),
        (AtMost("accuracy", 0.9, slices=("a",)), "accuracy", "a", -1),
        (Calibrated(at_most=0.9), ECE, "", -1),
        (Calibrated(at_most=0.9, slices=("a",)), ECE, "a", -1),
        (Robust(at_least=0.9, perturbations=("a",)), "accuracy", "a", 1),
    ],
)
def test_bounds_are_inclusive(gate: Gate, metric: str, slice: str, sign: int) -> None:
    values = (0.9, 0.9 + sign * STEP, 0.9 - sign * STEP)

    found = [only(gate, measured(value, metric=metric, slice=slice)) for value in values]

    assert [finding.passed for finding in found] == [True, True, False]
    assert [finding.value for finding in found] == list(values)
    assert {(f.bound, f.n, f.slice) for f in found} == {(0.9, 10_000, slice)}


@pytest.mark.parametrize(
    "gate",
    [
        AtLeast("accuracy", 0.0),
        AtMost("accuracy", 1.0),
        Calibrated(at_most=1.0, metric="accuracy", minimum_rows=30),
        Robust(at_least=0.0, perturbations=("shifted",)),
    ],
)
@pytest.mark.parametrize(
    ("value", "n", "why"),
    [
        (None, 0, "was not measured"),
        (math.nan, 100, "is nan"),
        (math.inf, 100, "is inf"),
        (-math.inf, 100, "is -inf"),
        (0.5, 0, "on no row"),
        (math.nan, 0, "on no row"),
        (0.5, 29, "29 rows, at least 30 are needed"),
    ],
)
def test_what_is_no_measurement_fails(gate: Gate, value: float | None, n: int, why: str) -> None:
    slice = "shifted" if isinstance(gate, Robust) else ""
    evaluation = Evaluation(()) if value is None else measured(value, n=n, slice=slice)

    finding = only(gate, evaluation)

    assert not finding.passed
    assert finding.value is None
    assert why in finding.message


def test_just_enough_rows_are_enough() -> None:
    assert only(AtLeast("accuracy", 0.5), measured(0.9, n=30)).passed
    assert not only(Calibrated(at_most=0.5), measured(0.1, metric=ECE, n=999)).passed
    assert only(Calibrated(at_most=0.5), measured(0.1, metric=ECE, n=1_000)).passed


def test_a_gate_on_slices_has_a_finding_for_each() -> None:
    findings = list(AtLeast("accuracy", 0.5, slices=("a", "b")).findings(measured(0.9, slice="a")))

    assert [(finding.slice, finding.passed) for finding in findings] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("gate", "low", "high", "passes"),
    [
        (AtLeast("accuracy", 0.5, confident=True), 0.5, 0.8, True),
        (AtLeast("accuracy", 0.5, confident=True), 0.5 - STEP, 0.8, False),
        (AtMost("accuracy", 0.8, confident=True), 0.5, 0.8, True),
        (AtMost("accuracy", 0.8, confident=True), 0.5, 0.8 + STEP, False),
        (AtLeast("accuracy", 0.5, confident=True), None, None, False),
    ],
)
def test_a_confident_gate_holds_the_end_of_the_interval(
    gate: Gate, low: float | None, high: float | None, passes: bool
) -> None:
    assert only(gate, measured(0.65, low=low, high=high)).passed is passes


def test_calibration_says_how_much_of_it_is_chance() -> None:
    floor = Measurement(metric="calibration_floor", value=0.0011, n=10_000)
    evaluation = Evaluation((*measured(0.0015, metric=ECE).measurements, floor))

    finding = only(Calibrated(at_most=0.01), evaluation)

    assert finding.message == "0.0015, at most 0.01; 0.0011 expected by chance on 10,000 rows"


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda: AtLeast("accuracy", math.nan), r"AtLeast\.bound: expected a number"),
        (lambda: AtMost("accuracy", 0.9, slices=()), r"AtMost\.slices: expected at least one"),
        (lambda: AtMost("accuracy", 0.9, slices=("a", "a")), "expected each name once"),
        (lambda: AtLeast("accuracy", 0.9, minimum_rows=0), "expected at least 1, found 0"),
        (lambda: Robust(at_least=0.9, perturbations=()), r"Robust\.slices: expected at least one"),
        (lambda: Calibrated(at_most=math.inf), r"Calibrated\.at_most: expected a number"),
    ],
)
def test_a_gate_that_could_not_refuse_cannot_be_declared(declare: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        declare()  # type: ignore[operator]


def test_a_slice_that_may_be_missing_holds_nothing_up_when_it_is_small_and_else_is_held() -> None:
    gate = AtLeast("accuracy", 0.9, slices=("a",), optional=True)

    found = [only(gate, measured(value, slice="a", n=n)) for value, n in ((0.1, 29), (0.1, 30))]
    none = only(gate, measured(math.nan, slice="a", n=0))

    assert [(one.passed, one.applicable) for one in (*found, none)] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert not only(gate, Evaluation(())).passed
    whole = AtLeast("accuracy", 0.9, optional=True)
    assert not only(whole, measured(1.0, n=29)).passed
