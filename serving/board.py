"""The board: a few numbers that all workers of a host read at every request.

They live in a small file mapped into memory, so that reading is a memory access, writing is one
aligned store that no reader sees half done, and a killed host finds the last values again.
"""

import mmap
import os
from pathlib import Path

_NUMBERS = 4
_BYTES = _NUMBERS * 8


class Board:
    """For one model: which generation answers, and which is proposed.

    A generation is a number that only this host uses: each version proposed here gets the next.
    `current` 0 means that nothing answers yet. A proposal is open while `proposed > current`.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._numbers = memoryview(memory).cast("Q")

    @classmethod
    def at(cls, path: Path) -> "Board":
        """The board kept in a file, shared by everybody who opens it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(descriptor).st_size < _BYTES:
                os.ftruncate(descriptor, _BYTES)
            return cls(mmap.mmap(descriptor, _BYTES))
        finally:
            os.close(descriptor)

    @classmethod
    def alone(cls) -> "Board":
        """A board for a process that serves without others."""
        return cls(mmap.mmap(-1, _BYTES))

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
    def asks(self) -> int:
        """Changes whenever somebody asks for a look at the store."""
        return self._numbers[3]

    def ask(self) -> None:
        """Have the leader look at once; of asks in the same moment one may be lost in another."""
        self._numbers[3] += 1

    def flip(self, generation: int) -> None:
        """From here on every request on this host that starts is answered by `generation`."""
        self._numbers[0] = generation
        self._memory.flush()

    def clear(self) -> None:
        """From here on nothing answers, and nothing is proposed."""
        self._numbers[1] = 0
        self.flip(0)

    def propose(self, generation: int) -> None:
        self._numbers[1] = generation
        self._memory.flush()

    def looked(self, at_ms: int) -> None:
        self._numbers[2] = at_ms
