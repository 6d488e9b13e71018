"""Live scores: how the serving version did on each arrival, before anything learned from it.

Each score is written once and never replaced, so that a version's live quality is a series that
nobody can improve afterwards.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from overnight.store.errors import AlreadyExists, BadKey, CorruptRecord, NotFound
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import existing, read
from overnight.store.registry.manifest import Measurement
from overnight.store.values import Value


class Score(Value):
    """Measurements of one version on the `n` labelled rows of one arrival.

    The first measurement without a slice is the version's primary metric; `holdout` is the same
    metric on the holdout when the version was trained, if it was measured then.
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
        """The primary metric over all rows, or None when its value is not finite.

        No other metric stands in for it: a series would then mix two metrics.
        """
        whole = (measurement for measurement in self.measurements if not measurement.slice)
        first = next(whole, None)
        return first if first is not None and math.isfinite(first.value) else None


@dataclass(frozen=True)
class LiveScores:
    """The live scores of one model's versions."""

    bucket: Bucket
    model: str

    def keep(self, score: Score) -> Score:
        """Write a score, or return the one that was written first, which stands."""
        key = keys.score(self.model, score.version, score.arrival)
        try:
            self.bucket.create(key, score.encoded())
        except AlreadyExists:
            return existing(Score, self.bucket, key)
        return score

    def find(self, version: str, arrival: str) -> Score | None:
        """The score of a version on an arrival, if there is one."""
        return read(Score, self.bucket, keys.score(self.model, version, arrival))

    def of_version(self, version: str) -> list[Score]:
        """All scores of a version, oldest first; unreadable ones are left out."""
        scores = []
        for key in self.bucket.keys_below(keys.scores(self.model, version)):
            # One damaged score must not hide the others; `overnight verify` names it.
            with suppress(BadKey, CorruptRecord, NotFound):
                scores.append(existing(Score, self.bucket, key))
        return sorted(scores, key=lambda score: (score.at, score.arrival))


def latest(scores: Sequence[Score]) -> Score | None:
    """The newest of some scores that has a headline."""
    with_headline = [score for score in scores if score.headline is not None]
    return max(with_headline, key=lambda score: (score.at, score.arrival), default=None)
