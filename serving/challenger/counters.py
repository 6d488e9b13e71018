"""Counters of one challenge in one worker, and log lines of its failures and disagreements."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.serving.inference.runtime import Array
from overnight.serving.telemetry.challenge_stats import ChallengeStats, slowdown_share
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.challenge_terms import Mode

logger = logging.getLogger(__name__)

# The counters count everything; the log shows examples.
LOGGED_EVERY_SECONDS = 0.2


@dataclass(frozen=True)
class AnswerPair:
    """The answers of the two versions to the same n rows, [n, …] each."""

    champion: Array
    challenger: Array


class ChallengeCounters:
    """The counters of one challenge in one worker.

    Methods named `count_compared_…` are called by the comparing thread, all others by threads that
    answer requests.
    """

    def __init__(self, model: str, record: AliasRecord, mode: Mode) -> None:
        self.record = record.id
        self._empty = ChallengeStats(
            record=record.id, model=model, version=record.version, mode=mode
        )
        # Threads that answer share a lock. The comparing thread has numbers of its own and never
        # takes it: it runs at a low priority, and would make them wait while it holds the lock.
        self._lock = threading.Lock()
        self._answered = self._failed = self._dropped = 0
        self._compared_answered = self._compared_failed = self._compared = self._timed = 0
        self._disagreements = self._log_slowdown = self._slowdown_shares = 0.0
        self._logged_at = -LOGGED_EVERY_SECONDS

    def stats(self) -> ChallengeStats:
        """Everything so far."""
        with self._lock:
            answered, failed, dropped = self._answered, self._failed, self._dropped
        errors = failed + self._compared_failed
        return self._empty.model_copy(
            update={
                "requests": answered + self._compared_answered + errors,
                "errors": errors,
                "compared": self._compared,
                "disagreements": self._disagreements,
                "dropped": dropped,
                "timed": self._timed,
                "log_slowdown": self._log_slowdown,
                "slowdown_shares": self._slowdown_shares,
            }
        )

    def count_answered(self) -> None:
        """The challenger answered a client."""
        with self._lock:
            self._answered += 1

    def count_failed(self, error: Exception, request_id: str) -> None:
        """The challenger failed on a client's request that the champion then answered."""
        with self._lock:
            self._failed += 1
        self._log_failure(error, request_id)

    def count_dropped(self) -> None:
        """A request will not be compared."""
        with self._lock:
            self._dropped += 1

    def count_compared_answered(self) -> None:
        """The challenger answered a request that the champion had answered."""
        self._compared_answered += 1

    def count_compared_failed(self, error: Exception, request_id: str) -> None:
        """The challenger failed on a request that the champion had answered."""
        self._compared_failed += 1
        self._log_failure(error, request_id)

    def count_compared_time(self, log_slowdown: float, *, maximum: float) -> None:
        """Both answered one right after the other: ln(challenger's / champion's CPU seconds).

        `maximum`: the slowdown that the terms allow.
        """
        self._timed += 1
        self._log_slowdown += log_slowdown
        self._slowdown_shares += slowdown_share(log_slowdown, maximum)

    def count_compared_answers(
        self, differs: NDArray[np.bool_], answers: AnswerPair, request_id: str
    ) -> None:
        """Both answered; `differs` [n] marks the rows in which they disagree."""
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
                    "differing_rows": int(differs.sum()),
                    "champion_answer": _abbreviated(answers.champion[row]),
                    "challenger_answer": _abbreviated(answers.challenger[row : row + 1]),
                },
            )

    def _log_failure(self, error: Exception, request_id: str) -> None:
        fields = {"request_id": request_id, "error": f"{type(error).__name__}: {error}"[:500]}
        message = "%s: challenger %s failed on a request that the champion answers"
        self._log(logging.WARNING, message, fields)

    def _log(self, level: int, message: str, fields: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOGGED_EVERY_SECONDS:
            self._logged_at = now
            model, version = self._empty.model, self._empty.version
            fields |= {"model": model, "version": version, "mode": self._empty.mode}
            logger.log(level, message, model, version, extra=fields)


def _abbreviated(answer: Array) -> list[float]:
    """The first numbers of one row."""
    return [round(float(number), 4) for number in np.ravel(answer)[:10]]
