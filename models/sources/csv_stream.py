"""Streaming CSV reader for files of any length: typed batches, with bounded memory.

Invalid rows are reported with the number of their line, and do not affect the others as long as
they are few. Only an empty cell is missing, quoted or not: `NA`, `null` and the like are names in
a column of text, and invalid in a column of numbers.
"""

import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from overnight.models.sources.csv_header import (
    Header,
    gzip_errors,
    parse_header,
    read_header,
    unpacked,
)
from overnight.models.sources.streaming import BadLine, Rejected
from overnight.store.errors import BadFile, BadLines

BLOCK_BYTES = 2 << 20
MOST_REJECTED = 1_000
MOST_REJECTED_BYTES = 16_000_000
# Arrow parses without the GIL, so that one core parses while the other writes.
_AHEAD = 2
_CONVERSION = re.compile(
    r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (\S+): (.*)"
)
# A line end, or a quoted value, which may have some; a quote elsewhere in a value is a character.
_ROW_ENDS = re.compile(rb'(?:\A|(?<=[,\n]))"(?:[^"]|"")*+"(?=[,\r\n]|\Z)|\n')
_KINDS = {
    "uint8": "a whole number from 0 to 255",
    "int32": "a whole number",
    "int64": "a whole number",
    "float": "a number",
    "double": "a number",
    "string": "text in UTF-8",
}
_Read = Callable[[bytes], pa.Table]
# Says what is wrong with some rows, or nothing; it is asked again of fewer rows until one is left.
Check = Callable[[pa.Table], str]


def header(name: str, file: BinaryIO) -> Header:
    """The header of a file; its position is restored.

    Raises:
        BadFile: there is no first line, or it is no text.
    """
    return read_header(name, file, BLOCK_BYTES)


def read_lines(
    name: str,
    file: BinaryIO,
    columns: pa.Schema,
    rejected: Rejected,
    *,
    check: Check | None = None,
    block_bytes: int = BLOCK_BYTES,
    most_bytes: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file with a header, or of a gzip of one, in the declared columns.

    Other columns are ignored. A line is rejected that has another number of values than the header,
    a value of another type, no value where a column is declared not nullable, or of which `check`
    says what is wrong.

    Raises:
        BadFile: a column is missing or there twice, a line is longer than a block, the file cannot
            be unpacked or has more than `most_bytes`, or no line or more than `MOST_REJECTED` lines
            will not do.
    """
    n, limited = 0, _Limited(name, rejected)
    with gzip_errors(name):
        lines = unpacked(name, file)
        read = _reading(parse_header(name, lines.readline(block_bytes)), columns, check)
        for number, block, parsed in _parsed(_blocks(name, lines, block_bytes, most_bytes), read):
            try:
                tables: Iterator[pa.Table] = iter([parsed.result()])
            except pa.ArrowInvalid:
                tables = _salvaged(block, number, read, limited)
            for table in tables:
                n += table.num_rows
                yield from table.to_batches()
    if not n and limited.first is not None:
        raise BadFile(name, expected="at least one line as declared", found=f"{limited.first}")


def read_whole(
    name: str,
    body: bytes,
    columns: pa.Schema,
    *,
    check: Check | None = None,
    most_bytes: int | None = None,
) -> tuple[pa.Table, list[BadLine]]:
    """The rows of a CSV that is in memory, and its invalid lines; raises as `read_lines`."""
    bad: list[BadLine] = []
    batches = read_lines(
        name, io.BytesIO(body), columns, bad.append, check=check, most_bytes=most_bytes
    )
    return pa.Table.from_batches(batches, columns), bad


def as_rejection(name: str, bad: list[BadLine]) -> tuple[BadLines, ...]:
    """The rejection of the invalid lines of a file; none if there are none."""
    if not bad:
        return ()
    text = b"".join(line.text.rstrip(b"\n") + b"\n" for line in bad)
    return (BadLines(name, [str(line) for line in bad], text=text),)


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


def _reading(header: Header, columns: pa.Schema, check: Check | None) -> _Read:
    """A parser of blocks of whole lines; it raises ArrowInvalid when a line is invalid."""
    header.require(columns.names)
    # Arrow finds columns by name: those that are not needed may have none, or the same.
    names = [
        name if name in columns.names else f"{place} {name}"
        for place, name in enumerate(header.names)
    ]
    # What stands under a comma at the end of the header belongs to another column.
    unnamed = [names[place] for place, name in enumerate(header.names) if place and not name]
    types = {field.name: field.type for field in columns} | dict.fromkeys(unnamed, pa.string())
    convert = csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[""],
        strings_can_be_null=True,
    )

    def read(block: bytes) -> pa.Table:
        if b"\0" in block:
            raise pa.ArrowInvalid("a NUL byte")
        # Larger than the block: Arrow must not split it, or its line numbers would begin anew.
        options = csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1)
        try:
            table = csv.read_csv(pa.BufferReader(block), options, convert_options=convert)
        except pa.ArrowInvalid as error:
            raise pa.ArrowInvalid(_reason(error, header.names)) from None
        if any(table.column(name).null_count < table.num_rows for name in unnamed):
            raise pa.ArrowInvalid("a value in a column without a name")
        table = table.select(columns.names).combine_chunks()
        if header.padded:
            table = _trimmed(table)
        if problem := _missing(table, columns) or (check(table) if check else ""):
            raise pa.ArrowInvalid(problem)
        return pa.Table.from_arrays(table.columns, schema=columns)

    return read


def _trimmed(table: pa.Table) -> pa.Table:
    """Text without the spaces that this file has after its commas, as in its header."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            text = pc.utf8_trim_whitespace(table.column(place))
            empty = pc.equal(text, "")
            table = table.set_column(place, field, pc.if_else(empty, None, text))
    return table


def _missing(table: pa.Table, columns: pa.Schema) -> str:
    """The first column that may miss no value and does."""
    for field in columns:
        values = table.column(field.name)
        if field.nullable:
            continue
        if values.null_count:
            return f"{field.name}: no value"
        if pa.types.is_floating(field.type) and pc.any(pc.is_nan(values)).as_py():
            return f"{field.name}: not a number"
    return ""


def _blocks(name: str, lines: BinaryIO, size: int, most_bytes: int | None) -> Iterator[bytes]:
    """The rest of a file in blocks of whole rows, of about `size` bytes.

    A quote that does not close within a second block is taken for a stray one.
    """
    read_bytes = 0
    while block := lines.read(size):
        if not block.endswith(b"\n"):
            block += _line(name, lines, size)
        while (
            block.count(b'"') % 2 and len(block) < 2 * size and (more := _line(name, lines, size))
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


def _salvaged(block: bytes, number: int, read: _Read, rejected: Rejected) -> Iterator[pa.Table]:
    """All valid rows of a block, by bisection: a bad row costs little more than its block."""
    if not block.strip():
        return
    try:
        yield read(block)
    except pa.ArrowInvalid as error:
        if (middle := _middle(block)) is None:
            rejected(BadLine(number, str(error), block))
            return
        yield from _salvaged(block[:middle], number, read, rejected)
        after = number + block.count(b"\n", 0, middle)
        yield from _salvaged(block[middle:], after, read, rejected)


def _middle(block: bytes) -> int | None:
    """Where the row in the middle of some rows ends; None for a single row.

    A line end within a quoted value ends no row: half of an invalid row must not pass for a row.
    """
    ends = (match.end() for match in _ROW_ENDS.finditer(block) if match[0] == b"\n")
    cuts = [end for end in ends if end < len(block)]
    return min(cuts, key=lambda cut: abs(cut - len(block) // 2)) if cuts else None


class _Limited:
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


def _reason(error: Exception, names: tuple[str, ...]) -> str:
    """Arrow's error of a line with the column's name, and without the position in its block."""
    text = " ".join(str(error).split())
    if match := _CONVERSION.search(text):
        place, kind, problem = match.groups()
        return f"{names[int(place)]}: {problem[:100]}, expected {_KINDS.get(kind, kind)}"
    return text.rpartition("Row #1: ")[2].removeprefix("CSV parse error: ")[:160]
