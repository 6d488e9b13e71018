"""A version is called worse than the one before it at the declared error, whenever one looks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from overnight.store.registry.monitoring import DetectorState
from overnight.tasks.monitoring.versions import (
    compare_labelled,
    compare_paired,
    is_worse,
    start_comparison,
)

WAGERS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)


def test_wealth_of_pairs_is_that_of_the_product():
    rng = np.random.default_rng(1)
    newer, older = rng.random((2, 200)) < np.array([[0.1], [0.05]])

    state = compare_paired(start_comparison("v2"), newer, older)

    wealth = np.mean(
        [
            math.prod(1 + wager * (a - b) for a, b in zip(newer * 1.0, older * 1.0, strict=True))
            for wager in WAGERS
        ]
    )
    assert state.value == pytest.approx(wealth, rel=1e-9)


def test_rows_that_both_answer_alike_say_nothing():
    state = compare_paired(start_comparison("v2"), np.ones(500, bool), np.ones(500, bool))

    assert state.value == pytest.approx(1.0)
    assert state.observations == 500


def blamed(rng, p_newer, p_older, pairs, runs, *, error, margin=0.0):
    """The share of versions that are ever called worse, and after how many pairs."""
    after = []
    for _ in range(runs):
        state = start_comparison("v2", error=error)
        newer, older = rng.random(pairs) < p_newer, rng.random(pairs) < p_older
        for first in range(0, pairs, 100):
            here = slice(first, first + 100)
            state = compare_paired(state, newer[here], older[here], margin=margin)
            if is_worse(state):
                after.append(first + 100)
                break
    return len(after) / runs, after


def test_a_sound_version_is_blamed_at_most_as_often_as_declared():
    share, _ = blamed(np.random.default_rng(2), 0.2, 0.2, 2_000, 300, error=0.05)

    assert share <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_a_worse_version_is_blamed_soon():
    share, after = blamed(np.random.default_rng(3), 0.05, 0.01, 2_000, 50, error=0.01)

    assert share == 1
    assert np.median(after) <= 500


def test_the_margin_of_the_gates_is_allowed():
    share, _ = blamed(np.random.default_rng(4), 0.06, 0.05, 2_000, 100, error=0.05, margin=0.01)

    assert share <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 100)


def test_an_earlier_look_stays_known():
    state = compare_paired(start_comparison("v2", error=0.1), np.ones(30), np.zeros(30))
    state = compare_paired(state, np.zeros(300), np.ones(300))

    assert is_worse(state)
    assert state.value < state.level


def test_by_labels_of_both_periods_a_sound_version_is_blamed_seldom():
    rng, runs, count = np.random.default_rng(5), 200, 0
    for _ in range(runs):
        before = rng.random(2_000) < 0.05
        losses = rng.random(3_000) < 0.05
        state = compare_labelled(start_comparison("v2", error=0.05), losses, before)
        count += is_worse(state)

    assert count / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_by_labels_of_both_periods_a_worse_version_is_blamed():
    rng = np.random.default_rng(6)
    before = rng.random(2_000) < 0.01
    state = start_comparison("v2")
    looks = 0
    while not is_worse(state) and looks < 30:
        state = compare_labelled(state, rng.random(50) < 0.05, before)
        looks += 1

    assert looks <= 20
    bound = state.details["bound"]
    assert bound == pytest.approx(stats.beta.ppf(1 - 0.005, before.sum() + 1, 2_000 - before.sum()))


def test_without_labels_of_the_version_before_nothing_is_blamed():
    state = compare_labelled(start_comparison("v2"), np.ones(1_000, bool), np.zeros(0, bool))

    assert not is_worse(state)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 40),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_batches_and_stored_states_change_nothing(rows, cut, paired):
    newer = np.array([row[0] for row in rows])
    older = np.array([row[1] for row in rows])

    def add(state, here):
        if paired:
            state = compare_paired(state, newer[here], older[here])
        else:
            state = compare_labelled(state, newer[here], older)
        return DetectorState.model_validate_json(state.model_dump_json())

    begun = start_comparison("v2", error=0.2)
    whole = add(begun, slice(None))
    parts = add(add(begun, slice(0, cut)), slice(cut, None))

    assert parts.value == pytest.approx(whole.value, rel=1e-9)
    assert is_worse(parts) == is_worse(whole)
    assert parts.observations == whole.observations == len(rows)


@pytest.mark.parametrize("error", [0, 1, -1, math.nan])
def test_an_error_is_between_0_and_1(error):
    with pytest.raises(ValueError, match="expected between 0 and 1"):
        start_comparison("v2", error=error)


def test_bad_losses_are_refused():
    state = start_comparison("v2")
    with pytest.raises(ValueError, match="3 losses of one and 2 of the other"):
        compare_paired(state, np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="between 0 and 1; leave out rows without a label"):
        compare_paired(state, np.array([math.nan]), np.zeros(1))
    with pytest.raises(ValueError, match="between 0 and 1"):
        compare_labelled(state, np.array([3.0]), np.zeros(1))
