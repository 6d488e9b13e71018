"""What counts as another answer fits the kind of answer, and every output is compared."""

import math

import numpy as np
import pytest

from overnight.models.gates import SamePredictions
from overnight.models.metrics.equivalence import Tolerance, compare_outputs
from overnight.models.metrics.evaluation import Changed
from overnight.models.sales import DEFINITION as SALES
from overnight.store.schema import Schema, TensorSpec
from tests.support.evaluations import rehearsed

UNITS = np.tile(np.array([[1.0, 2.0, 5.0]], np.float32), (100, 1))
KNOWN = np.ones((100, 2), np.uint8)
TRAINED = {"units": UNITS, "known": KNOWN}


def of_sales(**found: np.ndarray):
    return compare_outputs(SALES.tensors, TRAINED, TRAINED | found, tolerance=SALES.tolerance)


@pytest.mark.parametrize(
    ("apart", "changed"),
    [(0.0, 0), (0.05, 0), (0.06, 0), (0.08, 100), (0.49, 100), (math.nan, 100), (math.inf, 100)],
)
def test_numbers_are_another_answer_where_they_are_not_near(apart: float, changed: int) -> None:
    # Of 1, 2 and 5 pieces, 0.05 and 2 % more are near: 0.07 beside the first.
    found = of_sales(units=UNITS + np.float32(apart))

    assert found.changed_answers == changed
    assert found.further == (Changed("known", 0, exact=True),)


def test_half_a_piece_on_every_row_is_refused_though_no_quantile_changed_its_place() -> None:
    (gate,) = (gate for gate in SALES.gates if isinstance(gate, SamePredictions))
    moved = of_sales(units=UNITS + np.float32(0.49))

    findings = gate.findings(rehearsed(**vars(moved)))

    assert [finding.metric for finding in findings if not finding.passed] == [
        "changed answers over HTTP"
    ]


@pytest.mark.parametrize(("flipped", "rows"), [(0, 0), (1, 1), (100, 100)])
def test_a_flag_may_flip_nowhere(flipped: int, rows: int) -> None:
    known = KNOWN.copy()
    known[:flipped, 1] = 0

    found = of_sales(known=known)
    findings = list(SamePredictions(1, changed_share=0.5).findings(rehearsed(**vars(found))))

    assert found.changed_answers == 0
    assert found.further == (Changed("known", rows, exact=True, largest_difference=min(rows, 1)),)
    assert findings[-1].metric == "changed known over HTTP"
    assert findings[-1].passed is (rows == 0)


@pytest.mark.parametrize(
    ("steps", "share", "passes"), [(1, 1.0, True), (2, 0.01, True), (2, 0.02, False)]
)
def test_other_whole_numbers_agree_within_a_step_on_nearly_all_rows(
    steps: int, share: float, passes: bool
) -> None:
    tensors = Schema(
        inputs=(),
        outputs=(
            TensorSpec(name="answer", datatype="FP32", shape=()),
            TensorSpec(name="seen", datatype="UINT8", shape=(2,)),
        ),
    )
    trained = {"answer": np.zeros(100, np.float32), "seen": np.zeros((100, 2), np.uint8)}
    seen = trained["seen"].copy()
    seen[: round(100 * share)] = steps

    found = compare_outputs(tensors, trained, trained | {"seen": seen}, tolerance=Tolerance())
    findings = SamePredictions(1, changed_share=0.01).findings(rehearsed(**vars(found)))

    assert [finding.passed for finding in findings][-1] is passes


@pytest.mark.parametrize("found", [{}, {"units": UNITS[:, :2]}, {"units": UNITS[:50]}])
def test_an_output_that_is_missing_or_of_another_shape_differs_everywhere(found: dict) -> None:
    outcome = compare_outputs(
        SALES.tensors, TRAINED, {"known": KNOWN, **found}, tolerance=SALES.tolerance
    )

    assert (outcome.n, outcome.changed_answers) == (100, 100)
    assert math.isinf(outcome.largest_difference)


def test_of_classes_the_likeliest_is_the_answer_and_of_one_number_itself() -> None:
    outputs = (TensorSpec(name="p", datatype="FP32", shape=(2,)),)
    classes = Schema(inputs=(), outputs=outputs, labels=("a", "b"))
    trained = {"p": np.array([[0.9, 0.1], [0.45, 0.55]])}
    moved = {"p": np.array([[0.6, 0.4], [0.55, 0.45]])}

    assert compare_outputs(classes, trained, moved, tolerance=Tolerance()).changed_answers == 1
    single = Schema(inputs=(), outputs=(TensorSpec(name="p", datatype="FP32", shape=(1,)),))
    one = compare_outputs(
        single, {"p": trained["p"][:, :1]}, {"p": moved["p"][:, :1]}, tolerance=Tolerance()
    )
    assert one.changed_answers == 2


@pytest.mark.parametrize(
    ("reported", "exact"),
    [
        ({"datatype": "BOOL"}, True),
        ({"datatype": "UINT8", "minimum": 0, "maximum": 1}, True),
        ({"datatype": "INT32", "vocabulary": ("no", "yes")}, True),
        ({"datatype": "INT32", "vocabulary": ("a", "b", "c")}, True),
        ({"datatype": "UINT8", "minimum": 0, "maximum": 255}, False),
        ({"datatype": "INT32"}, False),
        ({"datatype": "INT32", "minimum": 0}, False),
        ({"datatype": "FP32", "minimum": 0, "maximum": 1}, False),
    ],
)
def test_flags_and_codes_are_exact(reported: dict, exact: bool) -> None:
    assert TensorSpec(name="x", shape=(), **reported).exact is exact
