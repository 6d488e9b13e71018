"""Files of lines in blocks of bounded size: parsed ahead, and searched for invalid lines.

What a line is, the caller says: a value of a CSV may have line ends in it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

import pyarrow as pa

from overnight.models.sources.streaming import BadLine, Rejected
from overnight.store.errors import BadFile

BLOCK_BYTES = 2 << 20
MOST_REJECTED = 1_000
MOST_REJECTED_BYTES = 16_000_000
# Arrow parses without the GIL, so that one core parses while the other writes.
_AHEAD = 2
# Parses a block of whole lines; raises ArrowInvalid, for people, when one of them is invalid.
Read = Callable[[bytes], pa.Table]
# Where the row in the middle of a block ends; None for a single row.
Middle = Callable[[bytes], int | None]


def parse_ahead(
    blocks: Iterator[bytes], read: Read, *, number: int
) -> Iterator[tuple[int, bytes, Future[pa.Table]]]:
    """Each block with the number of its first line, parsed ahead by a pool of threads.

    The first line of all has this `number`.
    """
    ahead = deque[tuple[int, bytes, Future[pa.Table]]]()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for block in blocks:
            ahead.append((number, block, pool.submit(read, block)))
            number += block.count(b"\n")
            if len(ahead) > _AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()


def blocks(
    name: str, lines: BinaryIO, size: int, most_bytes: int | None, *, quote: bytes = b""
) -> Iterator[bytes]:
    """The rest of a file in blocks of whole rows, of about `size` bytes.

    A `quote` that does not close within a second block is taken for a stray one.

    Raises:
        BadFile: a line is longer than `size`, or there are more than `most_bytes`.
    """
    read_bytes = 0
    while block := lines.read(size):
        if not block.endswith(b"\n"):
            block += _line(name, lines, size)
        while (
            quote
            and block.count(quote) % 2
            and len(block) < 2 * size
            and (more := _line(name, lines, size))
        ):
            block += more
        read_bytes += len(block)
        if most_bytes is not None and read_bytes > most_bytes:
            raise BadFile(
                name, expected=f"at most {most_bytes:,} bytes when unpacked", found="more"
            )
        yield block


def _line(name: str, lines: BinaryIO, size: int) -> bytes:
    line = lines.readline(size)
    if len(line) == size and not line.endswith(b"\n"):
        raise BadFile(name, expected=f"lines shorter than {size:,} bytes", found="a longer one")
    return line


def salvage(
    block: bytes, number: int, read: Read, rejected: Rejected, middle: Middle
) -> Iterator[pa.Table]:
    """All valid rows of a block, by bisection: a bad row costs little more than its block."""
    if not block.strip():
        return
    try:
        yield read(block)
    except pa.ArrowInvalid as error:
        if (cut := middle(block)) is None:
            rejected(BadLine(number, str(error), block))
            return
        yield from salvage(block[:cut], number, read, rejected, middle)
        after = number + block.count(b"\n", 0, cut)
        yield from salvage(block[cut:], after, read, rejected, middle)


class Limited:
    """Pass bad lines on while they are few; more mean that the whole file is of another kind."""

    def __init__(self, name: str, rejected: Rejected) -> None:
        self.first: BadLine | None = None
        self._name, self._rejected = name, rejected
        self._lines = self._bytes = 0

    def __call__(self, line: BadLine) -> None:
        self.first = self.first or line
        self._lines, self._bytes = self._lines + 1, self._bytes + len(line.text)
        if self._lines > MOST_REJECTED or self._bytes > MOST_REJECTED_BYTES:
            expected = f"at most {MOST_REJECTED:,} bad lines"
            raise BadFile(self._name, expected=expected, found=f"more; {self.first}")
        self._rejected(line)
