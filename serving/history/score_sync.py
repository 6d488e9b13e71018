"""Copies live scores from the store: how versions did on arrivals while they served.

A score never changes, so each is read once. Only the version that serves gets new ones, and the
one that served just before may have got its last; so only these two are listed again.
"""

import logging
from collections.abc import Sequence

from overnight.store.errors import BadKey, CorruptRecord
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.registry.live_scores import Score

logger = logging.getLogger(__name__)

# One score a day: more than a year of them.
REMEMBERED_SCORES = 400
_STILL_SCORED = 2


class ScoreSync:
    """One model's live scores."""

    def __init__(self, bucket: Bucket, model: str) -> None:
        self._bucket, self._model = bucket, model
        self._listed: set[str] = set()
        self._seen: set[str] = set()

    def update(self, known: Sequence[Score], served: Sequence[str]) -> tuple[Score, ...]:
        """The `known` and the new scores, newest first, of the `served` versions, newest first.

        Scores that an outage keeps from being read are read the next time.
        """
        self._seen |= {keys.score(self._model, score.version, score.arrival) for score in known}
        scores = list(known)
        unlisted = [version for version in served if version not in self._listed]
        for version in dict.fromkeys([*served[:_STILL_SCORED], *unlisted]):
            scores += self._read_new(version)
            self._listed.add(version)
        newest = sorted(
            (score for score in scores if score.version in served),
            key=lambda score: (score.at, score.arrival),
            reverse=True,
        )
        return tuple(newest[:REMEMBERED_SCORES])

    def _read_new(self, version: str) -> list[Score]:
        prefix = keys.scores(self._model, version)
        listed = (f"{prefix}/{name}" for name in self._bucket.names_below(prefix))
        read = {key: self._read(key) for key in listed if key not in self._seen}
        # Only now: a read that failed has raised, and none of these counts as seen.
        self._seen |= read.keys()
        return [score for score in read.values() if score is not None]

    def _read(self, key: str) -> Score | None:
        """A score without its slices, or None for an object that is not a score of ours."""
        try:
            score = read(Score, self._bucket, key)
        except (BadKey, CorruptRecord) as error:
            logger.warning("left out of the live scores: %s", error)
            return None
        if score is None:
            return None
        overall = tuple(measured for measured in score.measurements if not measured.slice)
        return score.model_copy(update={"measurements": overall})
