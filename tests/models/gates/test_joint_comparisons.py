"""Comparisons of metrics that are no sums over rows: areas, F1, roots, explained variance."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from overnight.models.gates import MaximumRegression, MinimumImprovement
from overnight.models.metrics.classes import class_rows
from overnight.models.metrics.evaluation import Evaluation
from overnight.models.metrics.numbers import number_rows
from tests.support.evaluations import only

NAMES = ("no", "yes")


def versions(n: int, *, seed: int, apart: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and the scores of two versions, of which the second ranks worse by `apart`."""
    draws = np.random.default_rng(seed)
    labels = (draws.random(n) < 0.3).astype(int)
    common = labels + draws.normal(0, 1, n)
    scores = [
        1 / (1 + np.exp(-(common + draws.normal(0, spread, n) - 0.5)))
        for spread in (0.3, 0.3 + apart)
    ]
    return labels, scores[0], scores[1]


def compared(labels: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> Evaluation:
    rows = (
        class_rows(labels, np.column_stack([1 - scores, scores]), NAMES, positive=1)
        for scores in (mine, theirs)
    )
    slices = {"first": np.arange(len(labels)) < len(labels) // 2}
    return Evaluation((), champion="v1", rows=next(rows), champion_rows=next(rows), slices=slices)


@pytest.mark.parametrize("part", ["", "first"])
@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        ("roc_auc", roc_auc_score),
        ("average_precision", average_precision_score),
        ("f1", lambda y, p: f1_score(y, p > 0.5)),
    ],
)
def test_the_difference_is_that_of_the_two_metrics_on_the_slice(
    metric: str, reference, part: str
) -> None:
    labels, mine, theirs = versions(800, seed=1, apart=1.0)
    chosen = slice(0, 400) if part else slice(None)

    found = only(MaximumRegression(0.05, (part,), metric=metric), compared(labels, mine, theirs))

    expected = reference(labels[chosen], mine[chosen]) - reference(labels[chosen], theirs[chosen])
    assert found.value == pytest.approx(expected)
    assert found.low is not None
    assert found.high is not None
    assert found.low < expected < found.high


def test_a_better_ranking_is_shown_and_a_worse_one_refused() -> None:
    labels, better, worse = versions(3_000, seed=2, apart=1.5)

    assert only(MinimumImprovement(0, metric="roc_auc"), compared(labels, better, worse)).passed
    assert not only(
        MaximumRegression(0.01, metric="roc_auc"), compared(labels, worse, better)
    ).passed


def test_an_equal_ranking_is_found_better_as_seldom_as_declared() -> None:
    passed = sum(
        only(
            MinimumImprovement(0, metric="roc_auc", alpha=0.1),
            compared(*versions(300, seed=seed, apart=0.0)),
        ).passed
        for seed in range(100)
    )

    # 10 of 100, and three standard errors.
    assert passed <= 19


def test_a_recall_is_compared_exactly_on_the_rows_of_its_class() -> None:
    labels, mine, theirs = versions(1_000, seed=3, apart=1.0)

    found = only(MinimumImprovement(0, metric="recall"), compared(labels, mine, theirs))

    assert found.n == labels.sum()
    assert "right where it was wrong" in found.message


def test_a_root_is_compared_as_lower_and_explained_variance_as_higher() -> None:
    draws = np.random.default_rng(5)
    truth = draws.normal(0, 10, 500)
    better, worse = truth + draws.normal(0, 1, 500), truth + draws.normal(0, 3, 500)
    rows = number_rows(truth, better), number_rows(truth, worse)
    evaluation = Evaluation((), champion="v1", rows=rows[0], champion_rows=rows[1])

    root, explained = (
        only(MinimumImprovement(0, metric=metric), evaluation) for metric in ("rmse", "r2")
    )

    roots = [np.sqrt(np.mean((truth - answers) ** 2)) for answers in (better, worse)]
    assert root.value == pytest.approx(roots[1] - roots[0])
    assert (root.passed, explained.passed) == (True, True)


def test_one_class_alone_cannot_be_ranked() -> None:
    labels, mine, theirs = versions(200, seed=6, apart=0.0)

    found = only(
        MaximumRegression(0.1, metric="roc_auc"), compared(np.zeros_like(labels), mine, theirs)
    )

    assert (found.passed, found.message) == (False, "roc_auc is not a number on 200 rows")
