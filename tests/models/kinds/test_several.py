"""Several outputs are measured, compared and drawn each by its own kind."""

import numpy as np
import pytest

from overnight.models.examples import Examples
from overnight.models.gates import SamePredictions
from overnight.models.kinds.classification import Classification
from overnight.models.kinds.embedding import Embedding
from overnight.models.kinds.regression import Regression
from overnight.models.kinds.several import Several
from overnight.models.metrics.equivalence import Tolerance, alike_by_output, compare_outputs
from overnight.models.metrics.evaluation import Evaluation
from overnight.models.plots import several as plots
from overnight.store.errors import ConfigurationError
from overnight.store.schema import TensorSpec

KIND = Several(
    (
        Classification(("small", "large"), output="kind"),
        Classification(("red", "green", "blue"), output="colour"),
        Regression("price", right_within=1.0),
        Embedding("style", (4,), same_within=0.01),
    )
)
TENSORS = KIND.schema(TensorSpec(name="x", datatype="FP32", shape=(2,)))
N = 60


def rows() -> Examples:
    numbers = np.arange(N)
    labels = {"kind": numbers % 2, "colour": numbers % 3, "price": numbers.astype(float)}
    return Examples(
        {"x": np.zeros((N, 2), np.float32)}, labels, {"early": numbers < 20}, tensors=TENSORS
    )


def answers(*, colour_wrong: int = 0, price_off: float = 0.0) -> dict[str, np.ndarray]:
    """Right answers, but for some colours and all prices."""
    labels = rows().labels
    colours = labels["colour"].copy()
    colours[:colour_wrong] = (colours[:colour_wrong] + 1) % 3
    return {
        "kind": np.eye(2, dtype=np.float32)[labels["kind"]] * 0.8 + 0.1,
        "colour": np.eye(3, dtype=np.float32)[colours] * 0.7 + 0.1,
        "price": (labels["price"] + price_off).astype(np.float32),
        "style": np.random.default_rng(2).normal(size=(N, 4)).astype(np.float32),
    }


def test_each_output_names_its_own_classes() -> None:
    assert [TENSORS.classes(spec.name) for spec in TENSORS.outputs] == [
        ("small", "large"),
        ("red", "green", "blue"),
        (),
        (),
    ]
    assert TENSORS.labels == ("small", "large")


def test_metrics_are_named_after_their_output_whole_and_by_slice() -> None:
    measured = {
        (m.metric, m.slice): m.value for m in KIND.measure(rows(), answers(colour_wrong=10))
    }

    assert measured["kind.accuracy", ""] == 1
    assert measured["colour.accuracy", ""] == pytest.approx(50 / 60)
    assert measured["colour.accuracy", "early"] == pytest.approx(0.5)
    assert measured["price.mae", "early"] == 0
    assert measured["style.finite", ""] == 1
    by_row = {row.metric for row in KIND.per_row(rows(), answers())}
    assert {"kind.accuracy", "colour.log_loss", "price.mae", "style.length"} <= by_row


def test_a_row_is_right_when_every_output_is() -> None:
    assert KIND.correct(rows(), answers()).all()
    assert KIND.correct(rows(), answers(colour_wrong=10)).sum() == 50
    assert not KIND.correct(rows(), answers(price_off=1.5)).any()


def test_outputs_of_one_name_are_refused() -> None:
    twice = (Regression("price", right_within=1.0), Embedding("price", (4,)))

    with pytest.raises(ConfigurationError, match=r"expected an output name for each, found price"):
        Several(twice)


def moved(style: np.ndarray, angle: float) -> np.ndarray:
    """Rows turned by an angle in a plane with a random direction, and thrice as long."""
    other = np.random.default_rng(7).normal(size=style.shape)
    along = (other * style).sum(1, keepdims=True) / (style**2).sum(1, keepdims=True)
    across = other - along * style
    across *= np.linalg.norm(style, axis=1, keepdims=True) / np.linalg.norm(
        across, axis=1, keepdims=True
    )
    return (3 * (np.cos(angle) * style + np.sin(angle) * across)).astype(np.float32)


def test_outputs_agree_by_their_own_measure() -> None:
    trained = answers()
    served = {
        # Less sure of the same classes, but for one row.
        "kind": np.where(
            np.arange(N)[:, None] == 5, trained["kind"][:, ::-1], 0.5 + trained["kind"] / 100
        ),
        "colour": trained["colour"],
        "price": trained["price"] + np.where(np.arange(N) < 3, 0.5, 0).astype(np.float32),
        "style": moved(trained["style"], 0.1),
    }

    shares = {
        name: float(same(trained, served).mean())
        for name, same in alike_by_output(TENSORS, KIND.tolerance).items()
    }

    # 1 - cos(0.1) is 0.005, and 1 - cos(0.2) is 0.02; the tolerance of the direction is 0.01.
    assert shares == pytest.approx({"kind": 59 / 60, "colour": 1, "price": 57 / 60, "style": 1})
    served["style"] = moved(trained["style"], 0.2)
    assert not alike_by_output(TENSORS, KIND.tolerance)["style"](trained, served).any()


def test_rows_of_zeros_point_alike_and_one_of_nan_nowhere() -> None:
    tolerance = Tolerance(cosine=0.01)
    zeros = {"style": np.zeros((2, 4), np.float32)}
    odd = {"style": np.array([[0, 0, 0, 1], [np.nan, 0, 0, 0]], np.float32)}
    tensors = Embedding("style", (4,)).schema()
    (alike,) = alike_by_output(tensors, tolerance).values()

    assert alike(zeros, zeros).tolist() == [True, True]
    assert alike(zeros, odd).tolist() == [False, False]


@pytest.mark.parametrize(
    ("tolerance", "failed"),
    [
        (0.25, ["changed price exported"]),
        ({"price": 0.4}, ["largest difference of price exported", "changed price exported"]),
        ({"kind": 0.1, "price": 0.6}, ["changed price exported"]),
    ],
)
def test_the_gate_bounds_the_largest_difference_of_the_outputs_that_it_names(
    tolerance, failed: list[str]
) -> None:
    trained = answers()
    served = trained | {"price": trained["price"] + 0.5, "style": trained["style"] * 9}
    exported = compare_outputs(TENSORS, trained, served, tolerance=KIND.tolerance)
    evaluation = Evaluation(measurements=(), exported=exported)

    findings = SamePredictions(tolerance, changed_share=0.01).findings(evaluation)

    exported_only = [f.metric for f in findings if not f.passed and "exported" in f.metric]
    assert exported_only == failed


def test_every_output_is_drawn_by_its_kind_and_an_untrained_network_has_no_curves() -> None:
    history = [{"loss": 1.0, "validation_loss": 1.1, "kind.loss": 1.0, "validation_kind.loss": 1.0}]

    drawn = plots.pictures(rows(), answers(), history)

    assert [*drawn] == [
        "Learning curves",
        "kind, confusion",
        "colour, confusion",
        "price, answer and truth",
        "style, lengths",
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in drawn.values())
    assert plots.pictures(rows(), answers(), [])["Learning curves"] != drawn["Learning curves"]
    apart = plots.disagreements(rows(), answers(), answers(colour_wrong=10))
    assert [*apart] == [
        "Where they disagree on colour, confusion, the first",
        "Where they disagree on colour, confusion, the second",
    ]
