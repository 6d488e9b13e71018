"""The rows that validate a fit: a random share, whole groups, or the latest."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overnight.models.examples import Array, Examples

# How the rows that validate are chosen; "automatic" is by times where examples have them, else by
# groups, else at random.
Validation = Literal["automatic", "random", "grouped", "latest"]


def split(
    examples: Examples, *, by: Validation = "automatic", share: float, seed: int
) -> tuple[Examples, Examples]:
    """Split off about `share` of the rows for validation; returns training and validation.

    Groups are never split, unless the choice is "random": with times as well, those groups whose
    last row is the latest validate. Rows of one time stay together. The same rows, share and seed
    give the same split.

    Raises:
        ValueError: the examples have no groups or times as `by` needs, or only one of them.
    """
    target = max(1, round(examples.n * share))
    if by == "automatic":
        has_times, has_groups = examples.times is not None, examples.groups is not None
        by = "latest" if has_times else "grouped" if has_groups else "random"
    if by == "random":
        order = np.random.default_rng(seed).permutation(examples.n)
        validation = np.zeros(examples.n, np.bool_)
        validation[order[:target]] = True
    elif by == "grouped":
        validation = _groups(_required(examples.groups, "groups", by), target, seed)
    else:
        validation = _latest(_required(examples.times, "times", by), examples.groups, target)
    return examples.take(~validation), examples.take(validation)


def _required(values: Array | None, name: str, by: Validation) -> Array:
    if values is None:
        raise ValueError(
            f'validation="{by}" needs examples with {name}, and these have none; add them in the '
            'model\'s `examples`, or declare validation="random"'
        )
    return values


def _groups(groups: Array, target: int, seed: int) -> NDArray[np.bool_]:
    """Random groups that together have at most the target's rows, or the smallest group."""
    units, sizes = _units(groups, "group")
    most, chosen, rows = max(target, int(sizes.min())), [], 0
    for unit in np.random.default_rng(seed).permutation(len(sizes)):
        # A group that is too large is passed over, because half of one cannot be taken.
        if rows + sizes[unit] <= most:
            chosen.append(unit)
            rows += int(sizes[unit])
    # Never all of them: equal groups may fit a share of a half and more.
    return np.isin(units, chosen[: len(sizes) - 1])


def _latest(times: Array, groups: Array | None, target: int) -> NDArray[np.bool_]:
    """The latest rows, at least as many as the target unless these were all, whole groups."""
    moments = np.unique(times, return_inverse=True)[1]
    units, sizes = _units(
        times if groups is None else groups, "time" if groups is None else "group"
    )
    last = np.zeros(len(sizes), np.int64)
    np.maximum.at(last, units, moments)
    latest_first = np.argsort(-last, kind="stable")
    before = np.cumsum(sizes[latest_first]) - sizes[latest_first]
    chosen = latest_first[before < target]
    return np.isin(units, chosen[: len(sizes) - 1])


def _units(values: Array, kind: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each row's unit, [n], and the rows of each unit."""
    units, sizes = np.unique(values, return_inverse=True, return_counts=True)[1:]
    if len(sizes) < 2:
        raise ValueError(
            f"all {len(values):,} rows are of one {kind}, so none are left to validate on; "
            'bring rows of another, or declare validation="random"'
        )
    return units.reshape(-1), sizes
