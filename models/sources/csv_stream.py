"""Streaming CSV reader for files of any length: typed batches, with bounded memory.

Invalid rows are reported with the number of their line, and do not affect the others as long as
they are few.
"""

import gzip
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, cast

import pyarrow as pa
from pyarrow import csv

from overnight.models.sources.streaming import BadLine, Rejected
from overnight.store.errors import BadFile

BLOCK_BYTES = 2 << 20
MOST_REJECTED = 1_000
MOST_REJECTED_BYTES = 16_000_000
# Arrow parses without the GIL, so that one core parses while the other writes.
_AHEAD = 2
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_Read = Callable[[bytes], pa.Table]


def header(name: str, file: BinaryIO) -> tuple[str, ...]:
    """The column names of a file; its position is restored.

    Raises:
        BadFile: there is no first line, or it is no text.
    """
    place = file.tell()
    try:
        return _names(name, _unpacked(name, file).readline(BLOCK_BYTES))
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(name, expected="a gzip file", found=f"{error}"[:200]) from None
    finally:
        file.seek(place)


def read_lines(
    name: str,
    file: BinaryIO,
    columns: pa.Schema,
    rejected: Rejected,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file with a header, or of a gzip of one, in the declared columns.

    Other columns are ignored. A line is rejected that has another number of values than the header,
    a value of another type, or no value where a column is declared not nullable.

    Raises:
        BadFile: a column is missing, a line is longer than a block, the file cannot be unpacked,
            or more than `MOST_REJECTED` lines are invalid.
    """
    lines = _unpacked(name, file)
    try:
        names = _names(name, lines.readline(block_bytes))
        read = _reading(name, names, columns)
        limited = _limited(name, rejected)
        blocks = _blocks(name, lines, block_bytes)
        for number, block, parsed in _parsed(blocks, read):
            try:
                yield from parsed.result().to_batches()
            except pa.ArrowInvalid:
                for table in _salvaged(block, number, read, limited):
                    yield from table.to_batches()
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(name, expected="a gzip file", found=f"{error}"[:200]) from None


def _parsed(blocks: Iterator[bytes], read: _Read) -> Iterator[tuple[int, bytes, Future[pa.Table]]]:
    """Each block with the number of its first line, parsed ahead by a pool of threads."""
    number, ahead = 2, deque[tuple[int, bytes, Future[pa.Table]]]()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for block in blocks:
            ahead.append((number, block, pool.submit(read, block)))
            number += block.count(b"\n")
            if len(ahead) > _AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()


def _unpacked(name: str, file: BinaryIO) -> BinaryIO:
    if name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    return file


def _names(name: str, line: bytes) -> tuple[str, ...]:
    text = line.removeprefix(_BYTE_ORDER_MARK)
    try:
        first = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(autogenerate_column_names=True, use_threads=False),
        )
        return tuple(str(column[0].as_py()) for column in first.columns)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise BadFile(name, expected="a line that names columns", found=f"{error}"[:200]) from None


def _reading(name: str, names: tuple[str, ...], columns: pa.Schema) -> _Read:
    """A parser of blocks of whole lines; it raises ArrowInvalid when a line is invalid."""
    for column in columns.names:
        if names.count(column) != 1:
            found = "is not there" if column not in names else "is there twice"
            expected = f"the columns {', '.join(columns.names)}"
            raise BadFile(name, expected=expected, found=f"{column} {found}")
    convert = csv.ConvertOptions(column_types=columns, include_columns=columns.names)
    required = [field.name for field in columns if not field.nullable]

    def read(block: bytes) -> pa.Table:
        # Larger than the block: Arrow must not split it, or its line numbers would begin anew.
        options = csv.ReadOptions(
            column_names=list(names), use_threads=False, block_size=len(block) + 1
        )
        table = csv.read_csv(pa.BufferReader(block), options, convert_options=convert)
        for column in required:
            if table.column(column).null_count:
                raise pa.ArrowInvalid(f"there is no {column}")
        whole = table.combine_chunks()
        return pa.Table.from_arrays(whole.columns, schema=columns)

    return read


def _blocks(name: str, lines: BinaryIO, size: int) -> Iterator[bytes]:
    """The rest of a file in blocks of whole rows, of about `size` bytes.

    A quote that does not close within a second block is taken for a stray one.
    """
    while block := lines.read(size):
        if not block.endswith(b"\n"):
            block += _line(name, lines, size)
        while (
            block.count(b'"') % 2 and len(block) < 2 * size and (more := _line(name, lines, size))
        ):
            block += more
        yield block


def _line(name: str, lines: BinaryIO, size: int) -> bytes:
    line = lines.readline(size)
    if len(line) == size and not line.endswith(b"\n"):
        raise BadFile(name, expected=f"lines shorter than {size:,} bytes", found="a longer one")
    return line


def _salvaged(block: bytes, number: int, read: _Read, rejected: Rejected) -> Iterator[pa.Table]:
    """All valid rows of a block, by bisection: a bad line costs little more than its block."""
    if not block.strip():
        return
    try:
        yield read(block)
    except pa.ArrowInvalid as error:
        if (middle := _middle(block)) is None:
            rejected(BadLine(number, _short_reason(error), block))
            return
        yield from _salvaged(block[:middle], number, read, rejected)
        after = number + block.count(b"\n", 0, middle)
        yield from _salvaged(block[middle:], after, read, rejected)


def _middle(block: bytes) -> int | None:
    """Where the second half of some lines begins, outside of quotes if possible; None for one."""
    half = after = block.find(b"\n", len(block) // 2) + 1
    while 0 < after < len(block) and block.count(b'"', 0, after) % 2:
        after = block.find(b"\n", after) + 1
    before = block.rfind(b"\n", 0, max(half - 1, 0)) + 1
    while before and block.count(b'"', 0, before) % 2:
        before = block.rfind(b"\n", 0, before - 1) + 1
    for cut in (after, before, half, block.find(b"\n") + 1):
        if 0 < cut < len(block):
            return cut
    return None


def _limited(name: str, rejected: Rejected) -> Rejected:
    """Pass bad lines on while they are few; more mean that the whole file is of another kind."""
    lines = line_bytes = 0

    def report(line: BadLine) -> None:
        nonlocal lines, line_bytes
        lines, line_bytes = lines + 1, line_bytes + len(line.text)
        if lines > MOST_REJECTED or line_bytes > MOST_REJECTED_BYTES:
            raise BadFile(
                name, expected=f"at most {MOST_REJECTED:,} bad lines", found=f"more; {line}"
            )
        rejected(line)

    return report


def _short_reason(error: Exception) -> str:
    """Arrow's error of a line, without the position in its block, which means nothing to users."""
    text = " ".join(str(error).split())
    return text.rpartition("Row #1: ")[2].removeprefix("CSV parse error: ")[:160]
