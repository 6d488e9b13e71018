"""Rows that belong together validate together, and the latest rows validate what came before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.models.examples import Examples
from overnight.models.validation import split

SHARES = st.floats(0.01, 0.9)


def rows(groups=None, times=None) -> Examples:
    n = len(groups if times is None else times)
    return Examples({"x": np.arange(n)}, np.arange(n), groups=groups, times=times)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), SHARES, st.integers(0, 99))
def test_no_group_is_on_both_sides(groups: list[int], share: float, seed: int) -> None:
    groups = np.array([*groups, 7, 8])

    training, validation = split(rows(groups), share=share, seed=seed)

    assert not {*training.groups} & {*validation.groups}
    assert training.n > 0
    assert validation.n > 0
    assert sorted([*training.labels, *validation.labels]) == [*range(len(groups))]
    # Not many more rows than the share, unless the smallest group is larger.
    smallest = np.unique(groups, return_counts=True)[1].min()
    assert validation.n <= max(1, round(share * len(groups)), smallest)


@given(st.lists(st.integers(0, 20), min_size=2, max_size=60), SHARES)
def test_every_row_that_validates_is_later_than_every_row_that_trains(times, share) -> None:
    times = np.array([*times, 21, 22])

    training, validation = split(rows(times=times), share=share, seed=1)

    assert training.times.max() < validation.times.min()
    assert validation.n >= min(round(share * len(times)), len(times) - (times == times.min()).sum())


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20)), min_size=2, max_size=60), SHARES)
def test_with_times_and_groups_the_groups_that_end_last_validate_whole(pairs, share) -> None:
    groups, times = (np.array(part) for part in zip(*pairs, (5, 3), (6, 30), strict=True))

    training, validation = split(rows(groups, times), share=share, seed=1)

    assert not {*training.groups} & {*validation.groups}
    ends = {group: times[groups == group].max() for group in groups}
    assert max(ends[g] for g in training.groups) <= min(ends[g] for g in validation.groups)


def test_the_same_seed_gives_the_same_groups_and_another_seed_others() -> None:
    groups = np.repeat(np.arange(50), 4)

    first, again, other = (split(rows(groups), share=0.2, seed=seed)[1] for seed in (1, 1, 2))

    assert first.labels.tolist() == again.labels.tolist()
    assert first.labels.tolist() != other.labels.tolist()
    assert first.n == 40


def test_random_rows_validate_where_that_is_declared_in_spite_of_groups() -> None:
    groups = np.repeat([1, 2], 50)

    _, validation = split(rows(groups), by="random", share=0.2, seed=1)

    assert validation.n == 20
    assert {*validation.groups} == {1, 2}


@pytest.mark.parametrize(
    ("examples", "by", "remedy"),
    [
        (rows(np.zeros(9)), "automatic", "all 9 rows are of one group"),
        (rows(times=np.zeros(9)), "automatic", "all 9 rows are of one time"),
        (rows(times=np.arange(9)), "grouped", 'validation="grouped" needs examples with groups'),
        (rows(np.arange(9)), "latest", 'validation="latest" needs examples with times'),
    ],
)
def test_a_split_that_cannot_be_made_says_what_to_declare(examples, by, remedy) -> None:
    with pytest.raises(ValueError, match=f'{remedy}.*validation="random"'):
        split(examples, by=by, share=0.2, seed=1)
