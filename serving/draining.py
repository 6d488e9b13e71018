"""Leaving without anybody noticing: one word that all workers of a server read.

It lies in a small file mapped into memory, as the board does. Who answers says there when somebody
last asked whether this host is ready; who ends the server says there that it is about to end.
"""

import mmap
import os
import time
from pathlib import Path

_BYTES = 16
# Load balancers that ask less often than this would notice nothing in any decent drain either.
ASKED_LATELY_SECONDS = 60.0


class Draining:
    """Whether this server is about to end, and whether anybody looks at its readiness."""

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        """Without a memory to share, this is about one process alone."""
        self._numbers = memoryview(memory or mmap.mmap(-1, _BYTES)).cast("Q")

    @classmethod
    def at(cls, path: Path) -> "Draining":
        """What everybody shares who opens this file."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < _BYTES:
                os.ftruncate(descriptor, _BYTES)
            return cls(mmap.mmap(descriptor, _BYTES))
        finally:
            os.close(descriptor)

    @classmethod
    def afresh(cls, path: Path) -> "Draining":
        """A new file; who has an old one of this name mapped keeps that."""
        path.unlink(missing_ok=True)
        return cls.at(path)

    @property
    def begun(self) -> bool:
        return self._numbers[0] != 0

    def begin(self) -> None:
        """From here on nobody is told that this host is ready."""
        self._numbers[0] = 1

    def note_asked(self) -> None:
        """Somebody asks whether this host is ready."""
        self._numbers[1] = _now_ms()

    @property
    def is_watched(self) -> bool:
        """Whether somebody lately asked, and so may send requests until told otherwise."""
        asked_ms = self._numbers[1]
        return asked_ms > 0 and _now_ms() - asked_ms < ASKED_LATELY_SECONDS * 1000


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
