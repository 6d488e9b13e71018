"""Whether a version is worse than the one before it, at a declared error, looked at at any time.

A wager gains where the newer version was wrong and loses where the older one was. While the newer
one is no worse, its wealth has mean at most 1 whenever it is looked at, so the probability that it
ever reaches 1 / error is at most `error` (Ville 1939; Waudby-Smith and Ramdas 2024, doi
10.1093/jrsssb/qkad009).
"""

import math
from collections.abc import Sequence

import numpy as np

from overnight.models.metrics.evaluation import Floats, Mask
from overnight.models.reference import upper_bound
from overnight.store.registry.monitoring import DetectorState
from overnight.tasks.monitoring.detector import log_bets

ERROR = 0.01
# Shares of the wealth that are wagered on each difference; their mean is what counts.
_WAGERS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
_MOST_LOG = 700.0


def start_comparison(name: str, *, error: float = ERROR) -> DetectorState:
    """A comparison that has seen nothing; `error` is how probable it ever blames a sound version.

    Raises:
        ValueError: the error is not between 0 and 1.
    """
    if not 0 < error < 1:
        raise ValueError(f"{name}: the error is {error}; expected between 0 and 1, such as 0.01")
    return DetectorState(name=name, value=1.0, level=1 / error, observations=0)


def is_worse(state: DetectorState) -> bool:
    """Whether the newer version was shown to be worse, now or at an earlier look."""
    return float(state.details.get("highest", state.value)) >= state.level


def compare_paired(
    state: DetectorState,
    losses: Mask | Floats,
    before: Mask | Floats,
    *,
    margin: float = 0.0,
) -> DetectorState:
    """After n more requests that both versions answered, and whose truth came.

    Only where exactly one was wrong anything is learned. Rows that are wrong together, such as
    those of a day, are one observation: `detector.per_unit` makes it.

    Args:
        losses: [n] of the newer version, between 0 and 1.
        before: [n] of the version before it, on the same rows.
        margin: how much worse it may be on average, as its gates allow.

    Raises:
        ValueError: the numbers of rows differ, or a loss is not between 0 and 1.
    """
    newer, older = _losses(losses), _losses(before)
    if len(newer) != len(older):
        raise ValueError(f"{len(newer)} losses of one and {len(older)} of the other; pair them")
    gains = (newer - older - margin) / (1 + margin)
    return _after(state, np.log1p(np.outer(gains, _WAGERS)))


def compare_labelled(
    state: DetectorState, losses: Mask | Floats, before: Mask | Floats
) -> DetectorState:
    """After n more labels of the newer version, against all m of the version before it.

    The older one's loss is taken as its upper bound at half the error; the newer one's labels are
    wagers against that bound, which half the error is left for. The periods differ, so a world that
    became harder counts against the newer version: prefer pairs where there are any. The bound is
    made at the first labels, and stays: later labels of the older version change nothing.

    Raises:
        ValueError: a loss is not between 0 and 1.
    """
    newer, older = _losses(losses), _losses(before)
    bound = state.details.get("bound")
    if bound is None:
        bound = upper_bound(older, 1 - 1 / (2 * state.level))
    logs = np.zeros((len(newer), 1)) if bound >= 1 else log_bets(newer, bound)
    after = _after(state, logs, factor=0.5)
    return after.model_copy(update={"details": {**after.details, "bound": bound}})


def _after(state: DetectorState, logs: Floats, *, factor: float = 1.0) -> DetectorState:
    """The state after n observations of wagers [n, wagers]; every one of them was a look."""
    begun: Sequence[float] = state.details.get("log_wealth", [0.0] * logs.shape[1])
    if not len(logs):
        return state
    wealth = np.cumsum(np.vstack((begun, logs)), axis=0)[1:]
    course = np.logaddexp.reduce(wealth, axis=1) - math.log(logs.shape[1]) + math.log(factor)
    highest = max(_exp(float(course.max())), float(state.details.get("highest", 0.0)))
    return DetectorState(
        name=state.name,
        value=_exp(float(course[-1])),
        level=state.level,
        observations=state.observations + len(logs),
        details={
            **state.details,
            "log_wealth": [float(each) for each in wealth[-1]],
            "highest": highest,
        },
    )


def _exp(log: float) -> float:
    return math.exp(min(log, _MOST_LOG))


def _losses(losses: Mask | Floats) -> Floats:
    """The losses as numbers.

    Raises:
        ValueError: one is not between 0 and 1.
    """
    values = np.asarray(losses, np.float64)
    if len(values) and not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ValueError("losses must be numbers between 0 and 1; leave out rows without a label")
    return values
