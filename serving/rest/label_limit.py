"""Where labels are kept until they are shipped, and how many a client may send in a day."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from overnight.serving.errors import TooManyLabels
from overnight.serving.rest.middleware.rate_limits import REMEMBERED_CLIENTS
from overnight.store.predictions.records import SentLabel

_DAY_SECONDS = 86_400


class LabelSpool(Protocol):
    """Keeps labels until they are shipped."""

    def offer_labels(self, labels: Sequence[SentLabel]) -> bool:
        """Keep all of these labels or none; whether they are kept."""


class DailyLabels:
    """Counts the labels of each client and model since midnight, UTC.

    The most recent clients are remembered; a forgotten one starts again. Each worker counts by
    itself, as for requests.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}

    def take(self, model: str, client: str, labels: int, *, daily: int) -> int:
        """How many of these labels are within the limit; they are counted.

        Raises:
            TooManyLabels: none is; says when to send again.
        """
        today, passed = divmod(int(self._clock()), _DAY_SECONDS)
        with self._lock:
            day, count = self._counts.pop((model, client), (today, 0))
            count = count if day == today else 0
            within = max(0, min(labels, daily - count))
            # Popped above and inserted again, so that the dictionary is in order of use.
            self._counts[model, client] = (today, count + within)
            if len(self._counts) > REMEMBERED_CLIENTS:
                del self._counts[next(iter(self._counts))]
        if labels and not within:
            raise TooManyLabels(daily, _DAY_SECONDS - passed)
        return within

    def give_back(self, model: str, client: str, labels: int) -> None:
        """Take back the count of labels that were not kept."""
        with self._lock:
            if (known := self._counts.get((model, client))) is not None:
                self._counts[model, client] = (known[0], max(0, known[1] - labels))
