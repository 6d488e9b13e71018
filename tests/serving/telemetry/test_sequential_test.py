"""The test of a bound keeps its error rate although it is asked again after every request."""

import bisect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.serving.telemetry.challenge_stats import ALPHA, slowdown_share
from overnight.serving.telemetry.sequential_test import p_value


def least_count(n: int, bound: float) -> int:
    """The least of n counts at which the test rejects the bound; n + 1 if there is none."""
    return bisect.bisect_left(
        range(n + 1), True, key=lambda count: p_value(count, n, bound) <= ALPHA
    )


@pytest.mark.parametrize("bound", [0.01, 0.05, 0.5])
def test_a_share_exactly_at_its_bound_is_ever_rejected_with_no_more_than_the_error_rate(
    bound: float,
) -> None:
    # Given the exact distribution of the count of a challenger that was not withdrawn so far.
    looks, rejected = 1_500, 0.0
    kept = np.zeros(looks + 2)
    kept[0] = 1.0

    # When the bound is asked after each request.
    for n in range(1, looks + 1):
        kept[1:] = kept[1:] * (1 - bound) + kept[:-1] * bound
        kept[0] *= 1 - bound
        least = least_count(n, bound)
        rejected += kept[least:].sum()
        kept[least:] = 0.0

    assert 0 < rejected < ALPHA


def test_challenges_at_their_bound_hardly_ever_end_and_bad_ones_end_soon() -> None:
    # Given 200 challenges exactly at 5 %, and 200 at 12 %, looked at after every tenth request.
    random = np.random.default_rng(4)

    ended = {
        share: np.array(
            [
                any(
                    p_value(int(count), 10 * look, 0.05) <= ALPHA
                    for look, count in enumerate(random.binomial(10, share, 100).cumsum(), start=1)
                )
                for _ in range(200)
            ]
        ).mean()
        for share in (0.05, 0.12)
    }

    # Then at most 1 in 40 is expected at the bound; 10 of 200 by chance once in 40,000 seeds.
    assert ended[0.05] <= 0.05
    assert ended[0.12] >= 0.95


@given(st.integers(1, 5_000), st.data(), st.sampled_from([0.01, 0.05, 0.5, 0.9]))
@settings(max_examples=60, deadline=None)
def test_more_failures_are_never_less_evidence(n: int, data: st.DataObject, bound: float) -> None:
    count = data.draw(st.integers(0, n - 1))

    fewer, more = p_value(count, n, bound), p_value(count + 1, n, bound)

    assert 0 <= more <= fewer <= 1


@pytest.mark.parametrize(
    ("total", "n", "bound", "expected"),
    [(0, 0, 0.1, 1.0), (0, 100, 0.1, 1.0), (100, 100, 1.0, 1.0), (1, 100, 0.0, 0.0)],
)
def test_bounds_at_the_ends_need_no_test(total: int, n: int, bound: float, expected: float) -> None:
    assert p_value(total, n, bound) == expected


def test_a_million_requests_overflow_nothing() -> None:
    assert p_value(1_000_000, 1_000_000, 0.001) == 0.0
    assert p_value(1_000, 1_000_000, 0.5) == 1.0


@pytest.mark.parametrize(
    ("slowdown", "share"), [(2, 0.5), (4, 0.75), (1, 0.25), (8, 1.0), (1_000, 1.0), (0.1, 0.0)]
)
def test_a_slowdown_counts_by_its_distance_from_the_bound_and_an_outlier_by_no_more(
    slowdown: float, share: float
) -> None:
    assert slowdown_share(math.log(slowdown), 2.0) == pytest.approx(share)
