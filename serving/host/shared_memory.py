"""Shared memory of the workers of one host: the generation that answers, and the drain flag.

Both are a few numbers in a small file that is mapped into memory. Reading one is a memory access
without a system call, and a host that was killed finds the last values again.
"""

import mmap
import os
import time
from pathlib import Path

# Eight aligned bytes are loaded and stored whole by the processor, so these files need no locks.
_NUMBER_BYTES = 8
# Load balancers that poll less often than this would notice nothing in any decent drain either.
POLLED_WITHIN_SECONDS = 60.0


class SharedGeneration:
    """For one alias of a model: which generation answers, and which is proposed.

    A generation is a number that only this host uses: each version proposed here gets the next.
    `current` 0 means that nothing answers yet. A proposal is open while `proposed > current`.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._numbers = memoryview(memory).cast("Q")

    @classmethod
    def open(cls, path: Path) -> "SharedGeneration":
        """The numbers in a file, shared by all processes that open it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(_map(path, numbers=4, mode=0o644))

    @classmethod
    def in_process(cls) -> "SharedGeneration":
        """The numbers of a process that serves alone."""
        return cls(mmap.mmap(-1, 4 * _NUMBER_BYTES))

    @property
    def current(self) -> int:
        return self._numbers[0]

    @property
    def proposed(self) -> int:
        return self._numbers[1]

    @property
    def last_sync_age_seconds(self) -> float | None:
        """Seconds since the alias was last read from the store; None when it never was."""
        synced_ms = self._numbers[2]
        return round(max(time.time() - synced_ms / 1000, 0.0), 3) if synced_ms else None

    @property
    def refresh_requests(self) -> int:
        """A counter of requests to read the store at once."""
        return self._numbers[3]

    def request_refresh(self) -> None:
        """Have the leader read the store at once."""
        # Two workers may add at the same moment and one count be lost: the leader only compares
        # the number with the last one it saw, and either request leads to the same poll.
        self._numbers[3] += 1

    def activate(self, generation: int) -> None:
        """Every request that starts from here on is answered by `generation`, on the whole host.

        Call it only when all workers have reported the version as loaded.
        """
        # One aligned store is the whole switch: a worker that reads later gets the new number, one
        # that read before holds a lease on the old version, and none can read a mixture.
        self._numbers[0] = generation
        # For the next start only; other workers see the store through the shared page at once.
        self._memory.flush()

    def clear(self) -> None:
        """From here on nothing answers, and nothing is proposed."""
        # The proposal first: in the other order a worker between the two would see an open
        # proposal, and load a version that is to go.
        self._numbers[1] = 0
        self.activate(0)

    def propose(self, generation: int) -> None:
        self._numbers[1] = generation
        self._memory.flush()

    def note_sync(self, at_ms: int) -> None:
        """The alias was read from the store, at a time in milliseconds since 1970."""
        self._numbers[2] = at_ms


class DrainFlag:
    """Graceful-shutdown flag of a server, and whether a load balancer polls its readiness."""

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        """Without shared memory it is the flag of one process alone."""
        self._numbers = memoryview(memory or mmap.mmap(-1, 2 * _NUMBER_BYTES)).cast("Q")

    @classmethod
    def open(cls, path: Path) -> "DrainFlag":
        """The flag in a file, shared by all processes that open it."""
        return cls(_map(path, numbers=2, mode=0o600))

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


def _map(path: Path, *, numbers: int, mode: int) -> mmap.mmap:
    """Map a file of so many numbers, all 0 when it is new."""
    size = numbers * _NUMBER_BYTES
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        # Workers that start together may all come here: extending twice to one size harms nothing.
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
