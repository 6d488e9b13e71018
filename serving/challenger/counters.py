"""What one worker notes of one challenge."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.serving.inference.runtime import Array
from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.registry.aliases import AliasRecord
from overnight.store.registry.challenge_terms import Mode

logger = logging.getLogger(__name__)

# The counters tell of all; the log shows examples.
LOGGED_EVERY_SECONDS = 0.2


@dataclass(frozen=True)
class Both:
    """What the two versions answered, [n, …] each."""

    champion: Array
    challenger: Array


class ChallengeCounters:
    """The tally of one challenge in one worker.

    Threads that answer share a lock; the comparing thread has numbers of its own, those noted
    `beside`, and never takes it: nobody who answers waits for a thread that gives way to all.
    """

    def __init__(self, model: str, record: AliasRecord, mode: Mode) -> None:
        self.record = record.id
        self._empty = ChallengeStats(
            record=record.id, model=model, version=record.version, mode=mode
        )
        self._lock = threading.Lock()
        self._answered = self._failed = self._dropped = 0
        self._answered_beside = self._failed_beside = self._compared = self._timed = 0
        self._disagreements = self._log_slowdown = 0.0
        self._logged_at = -LOGGED_EVERY_SECONDS

    def tally(self) -> ChallengeStats:
        """Everything so far."""
        with self._lock:
            answered, failed, dropped = self._answered, self._failed, self._dropped
        errors = failed + self._failed_beside
        return self._empty.model_copy(
            update={
                "requests": answered + self._answered_beside + errors,
                "errors": errors,
                "compared": self._compared,
                "disagreements": self._disagreements,
                "dropped": dropped,
                "timed": self._timed,
                "log_slowdown": self._log_slowdown,
            }
        )

    def answered(self) -> None:
        """The challenger answered a request of its own."""
        with self._lock:
            self._answered += 1

    def failed(self, error: Exception, request_id: str) -> None:
        """It did not answer one that the champion then answered."""
        with self._lock:
            self._failed += 1
        self._log_failure(error, request_id)

    def dropped(self) -> None:
        """A request will not be compared."""
        with self._lock:
            self._dropped += 1

    def answered_beside(self) -> None:
        """The challenger answered what the champion had answered."""
        self._answered_beside += 1

    def failed_beside(self, error: Exception, request_id: str) -> None:
        """It did not."""
        self._failed_beside += 1
        self._log_failure(error, request_id)

    def timed(self, log_slowdown: float) -> None:
        """Both answered one right after the other."""
        self._timed += 1
        self._log_slowdown += log_slowdown

    def compared(self, differs: NDArray[np.bool_], both: Both, request_id: str) -> None:
        """Both answered; otherwise in the rows [n] that differ."""
        self._compared += 1
        if differs.any():
            self._disagreements += float(differs.mean())
            row = int(differs.argmax())
            self._log(
                logging.INFO,
                "%s: challenger %s answers otherwise than the champion",
                {
                    "request_id": request_id,
                    "rows": len(differs),
                    "rows_otherwise": int(differs.sum()),
                    "champion_answer": _shown(both.champion[row]),
                    "challenger_answer": _shown(both.challenger[row : row + 1]),
                },
            )

    def _log_failure(self, error: Exception, request_id: str) -> None:
        told = {"request_id": request_id, "error": f"{type(error).__name__}: {error}"[:500]}
        message = "%s: challenger %s did not answer what the champion answers"
        self._log(logging.WARNING, message, told)

    def _log(self, level: int, message: str, told: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOGGED_EVERY_SECONDS:
            self._logged_at = now
            model, version = self._empty.model, self._empty.version
            told |= {"model": model, "version": version, "mode": self._empty.mode}
            logger.log(level, message, model, version, extra=told)


def _shown(answer: Array) -> list[float]:
    """The first numbers of one row."""
    return [round(float(number), 4) for number in np.ravel(answer)[:10]]
