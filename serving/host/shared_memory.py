"""Shared memory of the workers of one host: the generation that answers, and the drain flag.

Both are a few numbers in a small file mapped into memory: reading is a memory access without a
system call, and a killed host finds the last values again. No locks are needed, because each number
is eight aligned bytes, which the processor loads and stores whole.
"""

import mmap
import os
import time
from pathlib import Path

_NUMBER_BYTES = 8
# Load balancers that poll less often than this would notice nothing in any decent drain either.
ASKED_LATELY_SECONDS = 60.0


class SharedGeneration:
    """For one model: which generation answers, and which is proposed.

    A generation is a number that only this host uses: each version proposed here gets the next.
    `current` 0 means that nothing answers yet. A proposal is open while `proposed > current`.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._numbers = memoryview(memory).cast("Q")

    @classmethod
    def at(cls, path: Path) -> "SharedGeneration":
        """The board kept in a file, shared by everybody who opens it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(_map(path, numbers=4, mode=0o644))

    @classmethod
    def alone(cls) -> "SharedGeneration":
        """A board for a process that serves without others."""
        return cls(mmap.mmap(-1, 4 * _NUMBER_BYTES))

    @property
    def current(self) -> int:
        return self._numbers[0]

    @property
    def proposed(self) -> int:
        return self._numbers[1]

    @property
    def looked_at_ms(self) -> int:
        """When the store last said what is current, in milliseconds since 1970; 0 for never."""
        return self._numbers[2]

    @property
    def last_sync_age_seconds(self) -> float | None:
        """How long ago the store last said what is current; None when it never did."""
        looked = self.looked_at_ms
        return round(max(time.time() - looked / 1000, 0.0), 3) if looked else None

    @property
    def asks(self) -> int:
        """Changes whenever somebody asks for a look at the store."""
        return self._numbers[3]

    def ask(self) -> None:
        """Have the leader look at once; of asks in the same moment one may be lost in another."""
        self._numbers[3] += 1

    def flip(self, generation: int) -> None:
        """From here on every request on this host that starts is answered by `generation`.

        One aligned store is the whole switch: a worker that reads afterwards gets the new number,
        one that read before holds a lease on the old version, and nobody ever reads a mixture.
        Whoever flips has seen the reports of all workers that they have the version loaded.
        """
        self._numbers[0] = generation
        # For the next start only; other workers see the store through the shared page at once.
        self._memory.flush()

    def clear(self) -> None:
        """From here on nothing answers, and nothing is proposed."""
        # The proposal first: in the other order a worker between the two would see an open
        # proposal, and load a version that is to go.
        self._numbers[1] = 0
        self.flip(0)

    def propose(self, generation: int) -> None:
        self._numbers[1] = generation
        self._memory.flush()

    def looked(self, at_ms: int) -> None:
        self._numbers[2] = at_ms


class DrainFlag:
    """Graceful-shutdown flag of a server, and whether a load balancer polls its readiness."""

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        """Without shared memory it is the flag of one process alone."""
        self._numbers = memoryview(memory or mmap.mmap(-1, 2 * _NUMBER_BYTES)).cast("Q")

    @classmethod
    def at(cls, path: Path) -> "DrainFlag":
        """The flag in a file, shared by everybody who opens it."""
        return cls(_map(path, numbers=2, mode=0o600))

    @classmethod
    def afresh(cls, path: Path) -> "DrainFlag":
        """The flag in a new file; a server that still drains keeps the old one mapped."""
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
