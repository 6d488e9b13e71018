"""Watchdog of the workers of a server: it finds those whose heart stopped beating.

A worker that hangs cannot report it: it is stopped, or a thread in native code keeps the
interpreter lock. So the parent process counts each worker's beats from outside.
"""

import logging
import time
from pathlib import Path
from typing import Any

from overnight.serving.host.workers import read_heartbeats

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Watchdog:
    """Compares the beats of the workers in a folder with those that it saw before.

    It counts its own looks and not time, so a machine that slept is no worker that hangs.
    """

    def __init__(self, workers: Path, *, seconds: float) -> None:
        """`seconds`: for how long a heart may stand still, at one look in `LOOK_SECONDS`."""
        self._workers, self._seconds = workers, seconds
        self._looks = max(1, round(seconds / LOOK_SECONDS))
        # By process: the last beat, and how many looks ago it was new.
        self._seen: dict[int, tuple[int, int]] = {}

    def silent(self) -> set[int]:
        """The processes of workers that have been silent for too long; call it steadily."""
        beats = read_heartbeats(self._workers)
        self._seen = {pid: self._seen_again(pid, beat) for pid, beat in beats.items()}
        return {pid for pid, (_, looks) in self._seen.items() if looks >= self._looks}

    def tick(self, server: Any) -> None:
        """Kill each worker of a granian server that is silent.

        The server starts another in its place, as for any worker that dies.
        """
        silent = self.silent()
        # A copy: the server replaces workers in this list meanwhile.
        for worker in list(server.wrks):
            if worker.inner.pid in silent and worker.is_alive():
                logger.error(
                    "worker %d shows no sign of life for %.0f s and is replaced",
                    *(worker.inner.pid, self._seconds),
                    extra={"event": "worker hung", "pid": worker.inner.pid},
                )
                # Not `worker.kill()`: a worker that the server itself ended is not replaced.
                worker.inner.kill()

    def _seen_again(self, pid: int, beat: int) -> tuple[int, int]:
        last, looks = self._seen.get(pid, (None, 0))
        return (beat, looks + 1 if beat == last else 0)


def replace_silent_workers(server: Any, workers: Path, *, seconds: float) -> None:
    """Look steadily for workers that show no sign of life for so long; never returns."""
    watchdog = Watchdog(workers, seconds=seconds)
    while True:
        time.sleep(LOOK_SECONDS)
        watchdog.tick(server)
