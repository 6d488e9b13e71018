"""Quality by labels: an e-detector that is looked at after every label.

An observation is a loss between 0 and 1: whether an answer was wrong, or the share of wrong ones of
a day. `p0` is what it may be on average. The wagers are likelihood ratios of a true loss of 1.5, 2,
4, 8 and 16 times p0 (Shin, Ramdas and Rinaldo 2024): of a wrong answer p1 / p0, of a right one
(1 − p1) / (1 − p0), and of what lies between, between. Their mean is at most 1 wherever that of the
loss is at most p0, so the declared run length holds for every such loss, whatever its distribution
and without a window.

Slices have evidence of their own, under the same level: the whole puts in half a stake before each
label, and the slices that a label belongs to the other half together. The sum of all is compared
with the level, so that the run length is that of the model.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from overnight.models.metrics.evaluation import Floats, Mask
from overnight.models.reference import Reference
from overnight.models.watching import Watching
from overnight.store.registry.monitoring import DetectorState
from overnight.tasks.monitoring.evidence import (
    Change,
    Observed,
    Times,
    advance,
    alarmed,
    changes,
    restarted,
    start,
)

__all__ = ["Change", "alarmed", "changes", "level_of", "per_unit", "restarted", "start", "update"]

WHOLE = ""
BETS = (1.5, 2.0, 4.0, 8.0, 16.0)
# Of the way from p0 to 1: a wager on more would lose nearly everything with one right answer.
_FURTHEST = 0.75
# Rows of one pass: bounds memory, not the result.
_PASS = 200_000
# Nothing can be noticed where almost every answer may be wrong.
_MOST_LOSS = 0.95


def level_of(watching: Watching, reference: Reference) -> float:
    """The declared run length in what an observation is: in labels, or of a forecast in days."""
    if reference.unit == "day":
        return float(watching.nights_per_false_alarm)
    return float(watching.labels_per_false_alarm)


def update(
    state: DetectorState,
    losses: Mask | Floats,
    p0: float | Mapping[str, float],
    *,
    slices: Mapping[str, Mask] | None = None,
    at: Times | None = None,
    memberships: int = 1,
) -> DetectorState:
    """The detector after n more labels, in the order in which they came.

    Args:
        losses: [n], true or 1 where the answer was wrong.
        p0: the upper bound of the mean loss on the holdout; by slice where there are slices, with
            the whole under "". A slice without one, or with one of nearly 1, has no evidence.
        slices: masks [n] by name.
        at: [n] when each label's answer was given, in UTC.
        memberships: the most slices that one row is in.

    Raises:
        ValueError: a loss is not between 0 and 1, or p0 is not, or lengths differ.
    """
    values = np.asarray(losses, np.float64)
    masks = dict(slices or {})
    _check(values, masks, at)
    bounds = dict(p0) if isinstance(p0, Mapping) else {WHOLE: float(p0)}
    for name, bound in bounds.items():
        if not 0 < bound <= 1:
            raise ValueError(
                f"{name or 'all rows'}: p0 is {bound}; expected above 0 and at most 1, the upper "
                "bound of the loss on the holdout"
            )
    bounds = {name: bound for name, bound in bounds.items() if bound <= _MOST_LOSS}
    masks = {name: mask for name, mask in masks.items() if name in bounds}
    most = _memberships(state, masks, memberships)
    for first in range(0, len(values), _PASS):
        here = slice(first, first + _PASS)
        batch = values[here]
        observed = _observed(batch, {n: m[here] for n, m in masks.items()}, bounds, most)
        state = advance(state, observed, len(batch), None if at is None else at[here])
    return state.model_copy(update={"details": {**state.details, "memberships": most}})


def per_unit(
    losses: Mask | Floats, units: NDArray[np.generic]
) -> tuple[Floats, NDArray[np.generic]]:
    """The mean loss of each unit, and the units, in their order.

    Rows of one unit, such as a day of a forecast, are wrong together: they are one observation.
    """
    names, places = np.unique(units, return_inverse=True)
    counts = np.bincount(places, minlength=len(names))
    sums = np.bincount(places, np.asarray(losses, np.float64), len(names))
    return sums / np.maximum(counts, 1), names


def _memberships(state: DetectorState, masks: Mapping[str, Mask], declared: int) -> int:
    """The most slices that a row is in: as declared, or as seen so far."""
    here = 0
    if masks:
        counts = np.sum(list(masks.values()), axis=0)
        here = int(counts.max()) if len(counts) else 0
    return max(declared, here, int(state.details.get("memberships", 1)))


def _observed(
    losses: Floats, masks: Mapping[str, Mask], bounds: Mapping[str, float], memberships: int
) -> list[Observed]:
    """What each part sees; the stakes before a label are 1 at most, all parts together."""
    sliced = any(name != WHOLE for name in bounds)
    parts = []
    if WHOLE in bounds:
        whole = np.arange(len(losses))
        parts.append(_part(WHOLE, whole, losses, bounds[WHOLE], 0.5 if sliced else 1.0))
    for name, mask in masks.items():
        places = np.flatnonzero(mask)
        parts.append(_part(name, places, losses[places], bounds[name], 0.5 / memberships))
    return parts


def _part(
    name: str, places: NDArray[np.int64], losses: Floats, p0: float, stake: float
) -> Observed:
    return Observed(name, places, log_bets(losses, p0), losses, stake)


def log_bets(losses: Floats, p0: float) -> Floats:
    """The logarithms of each wager's e-values, [n, wagers]."""
    worse = np.minimum(np.array(BETS) * p0, p0 + _FURTHEST * (1 - p0))
    wrong, right = worse / p0, (1 - worse) / (1 - p0)
    logs: Floats = np.log(right + losses[:, None] * (wrong - right))
    return logs


def _check(losses: Floats, masks: Mapping[str, Mask], at: Times | None) -> None:
    """Check shapes and values.

    Raises:
        ValueError: naming what is wrong.
    """
    if losses.ndim != 1:
        raise ValueError(f"losses have the shape {losses.shape}; expected one for each label, [n]")
    if len(losses) and not (np.isfinite(losses).all() and losses.min() >= 0 and losses.max() <= 1):
        raise ValueError("losses must be numbers between 0 and 1; leave out rows without a label")
    lengths = {name: len(mask) for name, mask in masks.items()}
    if at is not None:
        lengths["times"] = len(at)
    for name, length in lengths.items():
        if length != len(losses):
            raise ValueError(f"{name}: expected {len(losses)} rows as of losses, found {length}")
