"""The scorekeeper: gathers what versions measured on what arrived while they served.

A score never changes, so each is read once. Only what serves is given new ones, and what served
just before may have been given its last; so only these two are listed again.
"""

import logging
from collections.abc import Sequence

from pydantic import ValidationError

from overnight.store.errors import NotFound
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.live_scores import Score

logger = logging.getLogger(__name__)

# A night a score: more than a year of them.
REMEMBERED_SCORES = 400
_STILL_SCORED = 2


class ScoreSync:
    """One model's live scores, as far as the store tells them."""

    def __init__(self, bucket: Bucket, model: str) -> None:
        self._bucket, self._model = bucket, model
        self._listed: set[str] = set()
        self._seen: set[str] = set()

    def gather(self, known: Sequence[Score], served: Sequence[str]) -> tuple[Score, ...]:
        """What is known and what is new, newest first, of the versions that served, newest first.

        What an outage interrupts is asked for again.
        """
        self._seen |= {keys.score(self._model, one.version, one.arrival) for one in known}
        found = list(known)
        fresh = [version for version in served if version not in self._listed]
        for version in dict.fromkeys([*served[:_STILL_SCORED], *fresh]):
            found += self._new(version)
            self._listed.add(version)
        told = [one for one in found if one.version in served]
        newest = sorted(told, key=lambda one: (one.at, one.arrival), reverse=True)
        return tuple(newest[:REMEMBERED_SCORES])

    def _new(self, version: str) -> list[Score]:
        below = keys.scores(self._model, version)
        found = (f"{below}/{name}" for name in self._bucket.names_below(below))
        read = {key: self._read(key) for key in found if key not in self._seen}
        self._seen |= read.keys()
        return [one for one in read.values() if one is not None]

    def _read(self, key: str) -> Score | None:
        """A score without its slices, or None for what is none of ours."""
        try:
            found = Score.model_validate_json(self._bucket.read(key))
        except NotFound:
            return None
        except ValidationError as error:
            logger.warning("%s: not told: %s", key, error.errors()[0]["msg"])
            return None
        whole = tuple(one for one in found.measurements if not one.slice)
        return found.model_copy(update={"measurements": whole})
