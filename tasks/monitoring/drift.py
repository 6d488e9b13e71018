"""Drift and skew over days, at one declared number of nights per false alarm.

Every feature's e-value of a day is one wager of the detector in `evidence.py`. Inputs, answers,
confidence and skew each put in a quarter of the stake of each day, their features equal parts of
that: so a run length holds for all of them together, however the features depend on one another.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from overnight.store.registry.monitoring import DetectorState, LiveDistance
from overnight.tasks.monitoring.evidence import Observed, advance

_KINDS = 4


def drift_update(
    state: DetectorState, day: Sequence[LiveDistance], at: datetime | None = None
) -> DetectorState:
    """The detector after one more closed day, whose features are `day`.

    A feature without an e-value, because too few rows came, adds nothing; its evidence stays. The
    parts of the detector are named `<kind>: <feature>`; `evidence.changes` has them by evidence.

    Args:
        at: any time of the day, in UTC.

    Raises:
        ValueError: a feature is there twice.
    """
    names = [part_name(distance) for distance in day]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"one day has {', '.join(twice)} twice; expected each feature once")
    kinds = Counter(distance.kind for distance in day)
    observed = [
        Observed(
            part=name,
            places=np.zeros(1, np.int64),
            log_e=np.log(np.array([[distance.e]], np.float64)),
            values=np.array([distance.distance], np.float64),
            stake=1 / (_KINDS * kinds[distance.kind]),
        )
        for name, distance in zip(names, day, strict=True)
        if distance.e is not None and distance.e > 0
    ]
    when = None
    if at is not None:
        # numpy's times have no zone.
        when = np.array([at.replace(tzinfo=None)], "datetime64[us]")
    return advance(state, observed, 1, when)


def part_name(distance: LiveDistance) -> str:
    """The name of a feature's part of the detector."""
    return f"{distance.kind}: {distance.feature}"
