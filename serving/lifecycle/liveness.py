"""Whether a worker still loads and answers: its heart beats only as long as it does."""

import time
from collections.abc import Callable, Iterable

from overnight.serving.lifecycle.loader import VersionLoader
from overnight.serving.lifecycle.model_slots import ModelSlot

# One step of loading takes seconds, and less than a proposal stays open: the others then continue.
LOADING_SECONDS = 90.0
# No request takes as long; a server that stops waits for half of it.
ANSWERING_SECONDS = 60.0


class StuckDetector:
    """Something that has to move as long as there is work for it."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._position, self._since = -1, clock()

    def is_stuck(self, position: int, *, is_busy: bool) -> bool:
        """Whether `position` has been the same for too long, while there was work."""
        now = self._clock()
        if not is_busy or position != self._position:
            self._position, self._since = position, now
        return now - self._since > self._seconds


class Liveness:
    """Watches the loader and the requests of a worker, on a thread that does neither."""

    def __init__(
        self, loader: VersionLoader, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._loader, self._clock = loader, clock
        self._loading = StuckDetector(LOADING_SECONDS, clock)
        self._answering: dict[str, tuple[StuckDetector, StuckDetector]] = {}

    def is_well(self, slots: Iterable[ModelSlot]) -> bool:
        """Whether versions are loaded, and requests in all these slots are finished."""
        stuck = [self._is_stuck(slot) for slot in slots]
        return not any(stuck) and not self._loading.is_stuck(self._loader.steps, is_busy=True)

    def _is_stuck(self, slot: ModelSlot) -> bool:
        # The second: a single request may be stuck while others of its version come and go; once
        # there is a newer version, it is one that no others hide.
        answering, draining = self._answering.setdefault(
            slot.model,
            (
                StuckDetector(ANSWERING_SECONDS, self._clock),
                StuckDetector(ANSWERING_SECONDS, self._clock),
            ),
        )
        current = slot.shared.current
        is_draining = slot.oldest_in_use() < current
        return answering.is_stuck(slot.released, is_busy=slot.is_leased) or draining.is_stuck(
            current, is_busy=is_draining
        )
