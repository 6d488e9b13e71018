"""Shared memory of the workers of one host: numbers in a mapped file, and the drain flag.

Reading a number is a memory access without a system call, and a host that was killed finds the
last values again.
"""

import mmap
import os
import time
from pathlib import Path

# Eight aligned bytes are loaded and stored whole by the processor, so these files need no locks.
NUMBER_BYTES = 8
# Load balancers that poll less often than this would notice nothing in any decent drain either.
POLLED_WITHIN_SECONDS = 60.0


class DrainFlag:
    """Graceful-shutdown flag of a server, and whether a load balancer polls its readiness."""

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        """Without shared memory it is the flag of one process alone."""
        self._numbers = memoryview(memory or mmap.mmap(-1, 2 * NUMBER_BYTES)).cast("Q")

    @classmethod
    def open(cls, path: Path) -> "DrainFlag":
        """The flag in a file, shared by all processes that open it."""
        return cls(map_numbers(path, numbers=2, mode=0o600))

    @classmethod
    def create(cls, path: Path) -> "DrainFlag":
        """The flag in a new file, not set."""
        # Unlinked, not reset: a server at the same port that still drains keeps its own mapped.
        path.unlink(missing_ok=True)
        return cls.open(path)

    @property
    def begun(self) -> bool:
        return self._numbers[0] != 0

    def begin(self) -> None:
        """From here on readiness probes get 503."""
        self._numbers[0] = 1

    def note_probe(self) -> None:
        """A readiness probe was answered."""
        self._numbers[1] = _now_ms()

    @property
    def is_polled(self) -> bool:
        """Whether readiness was probed lately, so that a load balancer may send requests."""
        probed_ms = self._numbers[1]
        return probed_ms > 0 and _now_ms() - probed_ms < POLLED_WITHIN_SECONDS * 1000


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def map_numbers(path: Path, *, numbers: int, mode: int) -> mmap.mmap:
    """Map a file of so many numbers, all 0 when it is new."""
    size = numbers * NUMBER_BYTES
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        # Workers that start together may all come here: extending twice to one size harms nothing.
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
