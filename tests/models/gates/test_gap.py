"""The gap between groups: which it is between, its interval, and what it leaves out."""

import math

import numpy as np
import pytest

from overnight.models.gates import MaximumGap
from overnight.models.metrics.classification import share
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Measurement
from tests.support.evaluations import only

GATE = MaximumGap("recall", between="group", at_most=0.1)


def groups(**shares: tuple[int, int]) -> Evaluation:
    """Groups with so many hits of so many rows, each with its interval."""
    return Evaluation(
        tuple(
            share("recall", np.arange(n) < hits, slice=f"group={name}")
            for name, (hits, n) in shares.items()
        )
    )


def test_the_gap_is_between_the_best_and_the_worst_group() -> None:
    found = only(GATE, groups(a=(80, 100), b=(90, 100), c=(65, 100)))

    assert found.passed is False
    assert found.value == pytest.approx(0.25)
    assert "from 0.9000 on group=b to 0.6500 on group=c" in found.message
    assert (found.slice, found.bound, found.n) == ("group", 0.1, 100)


def test_the_interval_of_two_groups_is_newcombes() -> None:
    # Newcombe 1998 (Statistics in Medicine 17), method 10, his first example: 56/70 and 48/80.
    found = only(GATE, groups(a=(56, 70), b=(48, 80)))

    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_confident_is_of_the_upper_end() -> None:
    evaluation = groups(a=(500, 1_000), b=(505, 1_000))

    assert only(MaximumGap("recall", between="group", at_most=0.04), evaluation).passed
    assert not only(
        MaximumGap("recall", between="group", at_most=0.04, confident=True), evaluation
    ).passed
    assert only(
        MaximumGap("recall", between="group", at_most=0.05, confident=True), evaluation
    ).passed


def test_the_true_gap_is_beyond_the_upper_end_as_seldom_as_promised() -> None:
    draws, misses = np.random.default_rng(4), 0
    for _ in range(1_000):
        hits = draws.binomial(200, (0.5, 0.5, 0.6, 0.6))
        high = only(GATE, groups(**{f"g{i}": (int(h), 200) for i, h in enumerate(hits)})).high
        misses += high is None or high < 0.1

    # 2.5 %, and three standard errors of a thousand draws.
    assert misses / 1_000 < 0.04


def test_a_group_of_few_rows_is_left_out_and_named() -> None:
    found = only(GATE, groups(a=(80, 100), b=(82, 100), tiny=(0, 5)))

    assert found.passed
    assert found.message.endswith("; left out: group=tiny (5 rows)")


def test_one_group_is_no_comparison() -> None:
    found = only(GATE, groups(a=(80, 100), tiny=(0, 5)))

    assert not found.passed
    assert 'add slices_by(rows, "group")' in found.message
    assert found.n == 5


def test_other_columns_are_not_compared() -> None:
    other = Measurement(metric="recall", value=0.1, n=1_000, slice="city=a")
    evaluation = Evaluation((*groups(a=(80, 100), b=(80, 100)).measurements, other))

    assert only(GATE, evaluation).value == 0


def test_confidence_needs_an_interval() -> None:
    bare = tuple(
        Measurement(metric="recall", value=0.5, n=100, slice=f"group={name}") for name in "ab"
    )

    found = only(
        MaximumGap("recall", between="group", at_most=0.5, confident=True), Evaluation(bare)
    )

    assert (found.passed, found.message) == (False, "recall has no interval to be confident of")


@pytest.mark.parametrize(
    ("between", "at_most", "why"),
    [
        ("group", math.nan, "MaximumGap.at_most: expected a number"),
        ("group", -0.1, "MaximumGap.at_most: expected at least 0"),
        ("", 0.1, "MaximumGap.between: expected the column"),
    ],
)
def test_a_declaration_that_means_nothing_is_an_error(
    between: str, at_most: float, why: str
) -> None:
    with pytest.raises(ConfigurationError, match="MaximumGap") as raised:
        MaximumGap("recall", between=between, at_most=at_most)

    assert str(raised.value).startswith(why)
