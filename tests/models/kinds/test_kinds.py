"""Kinds of models: what they measure, compare, draw and demand is of one piece."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.examples import Examples
from overnight.models.gates import AtLeast, AtMost, Gate, MaximumRegression
from overnight.models.kinds.classification import Classification
from overnight.models.kinds.daily_series import DailySeries, week_ago
from overnight.models.kinds.regression import Regression
from overnight.models.metrics.evaluation import Evaluation
from overnight.models.plots import classifier, daily_series, numbers
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import TensorSpec
from tests.support.evaluations import only

RANDOM = np.random.default_rng(7)
N = 240
HISTORY = [{"loss": 1.0, "validation_loss": 1.1}, {"loss": 0.5, "validation_loss": 0.7}]
LEAVING = Classification(("stays", "leaves"), positive="leaves")
SORTING = Classification(("red", "green", "blue"))
PRICE = Regression("price", right_within=5)
SALES = DailySeries(series="store", value="units", same_within=0.5, judged_days=14)
AMOUNT = TensorSpec(name="amount", datatype="FP32", shape=())
STORE = TensorSpec(
    name="store", datatype="INT32", shape=(), vocabulary=("other", "a"), otherwise="other"
)


def holdout(labels: np.ndarray) -> Examples:
    halves = {"group=a": np.arange(N) % 2 == 0, "group=b": np.arange(N) % 2 == 1}
    return Examples({"amount": np.zeros(N, np.float32)}, labels, halves)


def answered(kind: Classification, labels: np.ndarray) -> dict[str, np.ndarray]:
    classes = len(kind.classes)
    noise = np.random.default_rng(1).dirichlet(np.ones(classes), N)
    return {kind.output: (0.4 * np.eye(classes)[labels] + 0.6 * noise).astype(np.float32)}


def values(measurements: tuple[Measurement, ...]) -> dict[tuple[str, str], Measurement]:
    by_name = {(measured.metric, measured.slice): measured for measured in measurements}
    assert len(by_name) == len(measurements), "a metric is measured twice"
    return by_name


@pytest.mark.parametrize("kind", [LEAVING, SORTING], ids=["two classes", "three"])
def test_a_classification_is_measured_whole_and_by_group(kind: Classification) -> None:
    labels = RANDOM.integers(0, len(kind.classes), N)
    rows, outputs = holdout(labels), answered(kind, labels)

    measured = values(kind.measure(rows, outputs))
    compared = {row.metric for row in kind.per_row(rows, outputs)}

    assert measured["accuracy", ""].value == pytest.approx(kind.correct(rows, outputs).mean())
    for metric in ("accuracy", "recall", "precision", "f1", "roc_auc", "brier", "log_loss"):
        assert metric in compared
        for part in ("", "group=a", "group=b"):
            assert math.isfinite(measured[metric, part].value)
            assert measured[metric, part].low is not None
    assert ("average_precision" in compared) is (len(kind.classes) == 2)
    assert (("recall of green", "") in measured) is (len(kind.classes) == 3)
    assert ("recall of green", "group=a") not in measured
    assert measured["calibration_error", "group=b"].n == N / 2


def test_the_positive_class_may_be_the_first() -> None:
    labels = RANDOM.integers(0, 2, N)
    first = Classification(("leaves", "stays"), positive="leaves")

    measured = values(first.measure(holdout(1 - labels), answered(first, 1 - labels)))
    mirrored = values(LEAVING.measure(holdout(labels), _mirrored(labels)))

    assert measured["recall", ""].n == labels.sum()
    assert measured["roc_auc", ""].value == pytest.approx(mirrored["roc_auc", ""].value)


def _mirrored(labels: np.ndarray) -> dict[str, np.ndarray]:
    first = answered(Classification(("leaves", "stays")), 1 - labels)["probabilities"]
    return {"probabilities": first[:, ::-1]}


def test_rows_of_a_group_are_no_independent_evidence() -> None:
    labels = RANDOM.integers(0, 2, N)
    rows, outputs = holdout(labels), answered(LEAVING, labels)
    persons = replace(rows, groups=np.array([None, *(np.arange(1, N) // 4)], object))

    alone, together = (
        Evaluation(
            (),
            champion="v1",
            rows=LEAVING.per_row(examples, outputs),
            champion_rows=LEAVING.per_row(examples, outputs),
        )
        for examples in (rows, persons)
    )

    gate = MaximumRegression(0.1, minimum_rows=20)
    assert only(gate, alone).n == N
    assert only(gate, together).n == N // 4 + 1


@pytest.mark.parametrize(
    ("classes", "positive", "why"),
    [
        (("one",), "", "expected two names or more"),
        (("a", "a"), "", "expected two names or more"),
        (("a", "b"), "c", "expected one of two classes, found 'c'"),
        (("a", "b", "c"), "a", "leave it out with more than two"),
    ],
)
def test_classes_that_mean_nothing_are_refused(
    classes: tuple[str, ...], positive: str, why: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Classification(classes, positive)

    assert why in str(raised.value)


def test_a_regression_is_measured_and_compared() -> None:
    truth = RANDOM.normal(100, 20, N).astype(np.float32)
    rows, outputs = holdout(truth), {"price": truth + RANDOM.normal(2, 4, N)}

    measured = values(PRICE.measure(rows, outputs))

    for metric in ("mae", "rmse", "r2", "bias", "constant_mae", "right_share"):
        assert measured[metric, "group=a"].n == N / 2
        assert measured[metric, ""].low is not None
    assert measured["bias", ""].value == pytest.approx(2, abs=1)
    assert measured["right_share", ""].value == PRICE.correct(rows, outputs).mean()
    assert "bias" not in {row.metric for row in PRICE.per_row(rows, outputs)}
    assert PRICE.tolerance.absolute == 0.5
    with pytest.raises(ConfigurationError, match="right_within"):
        Regression("price", right_within=0)


def daily(days: int, *, stores: str = "ab", skip: int = -1) -> pa.Table:
    """A value that is its own day, shifted by the store."""
    rows = [
        {"store": store, "day": 100 + day, "units": float(day + 1_000 * place)}
        for day in range(days)
        for place, store in enumerate(stores)
        if day != skip
    ]
    return pa.Table.from_pylist(
        rows, pa.schema({"store": pa.string(), "day": pa.int32(), "units": pa.float32()})
    )


def test_a_days_past_ends_when_it_was_forecast() -> None:
    examples = SALES.examples(daily(60))

    recent, lead = examples.inputs["recent"], examples.inputs["lead_days"]
    assert recent.shape == (examples.n, 28)
    assert set(lead.tolist()) == set(range(1, 8))
    # The value is the day, so the newest known one is `lead` before the label.
    np.testing.assert_array_equal(recent[:, -1] + lead, examples.labels)
    assert (np.diff(examples.inputs["day"]) >= 0).all()
    np.testing.assert_array_equal((examples.labels - week_ago(examples.inputs)) % 7, 0)


def test_the_same_day_has_the_same_past_whenever_it_is_made() -> None:
    everything = SALES.examples(daily(80))
    before, rows = (
        daily(66),
        daily(80).filter(pa.array([day >= 66 for day in range(80) for _ in "ab"])),
    )

    later = SALES.moving_holdout.examples(before, rows)

    assert later.n == 28
    newest = everything.take(everything.inputs["day"] >= 166)
    for name, array in later.inputs.items():
        np.testing.assert_array_equal(array, newest.inputs[name])
    np.testing.assert_array_equal(later.labels, newest.labels)


def test_a_missing_day_is_as_a_week_before_and_no_example() -> None:
    examples = SALES.examples(daily(60, stores="a", skip=40))

    assert 140 not in examples.inputs["day"]
    after = examples.inputs["recent"][examples.inputs["day"] == 150][0]
    assert 40 not in after
    assert (after == 33).sum() == 2


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_too_few_days_make_no_examples_of_the_right_shape(rows: int) -> None:
    for examples in (
        SALES.examples(daily(rows)),
        SALES.later_examples(daily(rows), daily(0)),
        SALES.later_examples(daily(0), daily(rows)),
    ):
        assert examples.n == 0
        assert examples.inputs["recent"].shape == (0, 28)


def test_a_forecast_is_measured_by_days() -> None:
    examples = SALES.examples(daily(120))
    middle = examples.labels + RANDOM.normal(0, 2, examples.n)
    outputs = {"units": np.column_stack([middle - 3, middle, middle + 3])}

    measured = values(SALES.measure(examples, outputs))

    for metric in ("mae", "rmse", "r2", "wape", "week_ago_wape", "pinball", "bias"):
        assert math.isfinite(measured[metric, ""].value)
    assert measured["interval_coverage", ""].value == SALES.correct(examples, outputs).mean()
    same = Evaluation(
        (),
        champion="v1",
        rows=SALES.per_row(examples, outputs),
        champion_rows=SALES.per_row(examples, outputs),
    )
    gate = MaximumRegression(0.1, metric="wape", minimum_rows=21)
    assert only(gate, same).n == len(np.unique(examples.inputs["day"]))


def test_a_history_must_have_a_week() -> None:
    with pytest.raises(ConfigurationError, match="recent_days of 7 at least"):
        DailySeries(series="store", value="units", same_within=1, recent_days=6)


def test_schemas_are_those_of_their_kinds() -> None:
    assert LEAVING.schema(AMOUNT).labels == ("stays", "leaves")
    assert PRICE.schema(AMOUNT).outputs[0].shape == ()
    forecast = SALES.schema(STORE)
    assert forecast.forecast is not None
    assert [spec.name for spec in forecast.inputs] == ["store", "day", "lead_days", "recent"]


@pytest.mark.parametrize(
    "gates",
    [
        LEAVING.gates({"recall": 0.6}, at_most={"brier": 0.2}, margin=0.05, metric="roc_auc"),
        PRICE.gates({"mae": 4}, at_least={"r2": 0.5}, margin=1),
        SALES.gates({"wape": 0.3}, at_least={"interval_coverage": 0.6}, margin=0.02),
    ],
)
def test_gates_are_bounds_comparisons_and_costs(gates: tuple[Gate, ...]) -> None:
    names = [type(gate).__name__ for gate in gates]

    assert any(isinstance(gate, AtLeast) for gate in gates)
    assert any(isinstance(gate, AtMost) for gate in gates)
    assert names[2:] == ["BetterThan", "MaximumRegression", "SamePredictions", "WithinBudget"]


def test_everything_that_a_report_shows_can_be_drawn() -> None:
    labels = RANDOM.integers(0, 3, N)
    named = replace(holdout(labels), tensors=SORTING.schema(AMOUNT))
    truth = RANDOM.normal(0, 1, N).astype(np.float32)
    series = SALES.examples(daily(60))
    units = {"units": np.column_stack([series.labels - 1, series.labels, series.labels + 1])}
    drawn = {
        "classes": classifier.pictures(named, answered(SORTING, labels), HISTORY),
        "numbers": numbers.pictures(holdout(truth), {"price": truth * 0.9}, HISTORY),
        "series": daily_series.pictures(series, units, HISTORY),
        "disagreements": numbers.disagreements(
            holdout(truth), {"price": truth}, {"price": truth * 0.9}
        ),
    }

    assert {name: sorted(pictures) for name, pictures in drawn.items()} == {
        "classes": ["Calibration", "Confusion", "Learning curves", "Precision by recall", "ROC"],
        "numbers": ["Answer and truth", "Learning curves", "Residuals"],
        "series": ["Error by lead", "Forecasts", "Learning curves"],
        "disagreements": ["Where they disagree"],
    }
    for pictures in drawn.values():
        assert all(body.startswith(b"\x89PNG") for body in pictures.values())
