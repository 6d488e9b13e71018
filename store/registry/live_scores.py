"""Scores: what the version that served measured on an arrival, before anything learned from it.

Each is written once and for ever, so a version's live quality is told by a series that nobody can
improve afterwards.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field

from overnight.store.registry.manifest import Measurement
from overnight.store.values import Value


class Score(Value):
    """One version on one arrival: `n` rows whose truth came with it.

    The first measurement of no slice is what a version is first judged by; `holdout` is the same
    metric where the version was judged when it was made, if it was.
    """

    format: int = 1
    model: str
    version: str
    arrival: str
    n: int
    measurements: tuple[Measurement, ...]
    holdout: Measurement | None = None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def headline(self) -> Measurement | None:
        """The metric that a version is first judged by, over all rows; None where it is no number.

        Another metric never stands in for it: a series of one metric would be told by two.
        """
        first = next((one for one in self.measurements if not one.slice), None)
        return first if first is not None and math.isfinite(first.value) else None


def latest(found: Sequence[Score]) -> Score | None:
    """The newest of some scores that has a headline."""
    told = [score for score in found if score.headline is not None]
    return max(told, key=lambda score: (score.at, score.arrival), default=None)
