"""Streaming CSV reader for files of any length: typed batches, with bounded memory.

Invalid rows are reported with the number of their line, and do not affect the others as long as
they are few. Only an empty cell is missing, quoted or not: `NA`, `null` and the like are names in
a column of text, and invalid in a column of numbers.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from overnight.models.sources import line_blocks
from overnight.models.sources.csv_dialect import COMMAS, Csv
from overnight.models.sources.csv_header import Header, parse_header, read_header
from overnight.models.sources.declared_rows import missing
from overnight.models.sources.encodings import as_utf8, decoding_errors
from overnight.models.sources.line_blocks import BLOCK_BYTES
from overnight.models.sources.packing import unpacked, unpacking_errors
from overnight.models.sources.streaming import BadLine, Rejected
from overnight.store.errors import BadFile, BadLines

_CONVERSION = re.compile(
    r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (\S+): (.*)"
)
_KINDS = {
    "uint8": "a whole number from 0 to 255",
    "int32": "a whole number",
    "int64": "a whole number",
    "float": "a number",
    "double": "a number",
    "string": "text in UTF-8",
    "bool": "true or false",
    "date32[day]": "a date such as 2026-11-22",
}
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
    dialect: Csv = COMMAS,
) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file with a header, plain or packed, in the declared columns.

    Other columns are ignored. A line is rejected that has another number of values than the header,
    a value of another type, no value where a column is declared not nullable, or of which `check`
    says what is wrong.

    Raises:
        BadFile: a column is missing or there twice, a line is longer than a block, the file cannot
            be unpacked or has more than `most_bytes`, or no line or more than `MOST_REJECTED` lines
            will not do.
    """
    n, limited = 0, line_blocks.Limited(name, rejected)
    with unpacking_errors(name), decoding_errors(name, dialect):
        lines = as_utf8(unpacked(name, file, dialect.packed), dialect)
        header = parse_header(name, lines.readline(block_bytes), dialect, columns.names)
        read = _reading(header, columns, check, dialect)
        middle = partial(_middle, dialect.row_ends(header.separator))
        blocks = line_blocks.blocks(name, lines, block_bytes, most_bytes, quote=dialect.quote_byte)
        for number, block, parsed in line_blocks.parse_ahead(blocks, read, number=2):
            try:
                tables: Iterator[pa.Table] = iter([parsed.result()])
            except pa.ArrowInvalid:
                tables = line_blocks.salvage(block, number, read, limited, middle)
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


def _reading(
    header: Header, columns: pa.Schema, check: Check | None, dialect: Csv
) -> line_blocks.Read:
    """A parser of blocks of whole lines; it raises ArrowInvalid when a line is invalid."""
    header.require(columns.names)
    # Arrow finds columns by name: those that are not needed may have none, or the same.
    names = [
        name if name in columns.names else f"{place} {name}"
        for place, name in enumerate(header.names)
    ]
    # What stands under a comma at the end of the header belongs to another column.
    unnamed = [names[place] for place, name in enumerate(header.names) if place and not name]
    lists = [field for field in columns if pa.types.is_list(field.type)]
    types = {field.name: field.type for field in columns} | dict.fromkeys(unnamed, pa.string())
    types |= {field.name: pa.string() for field in lists}
    convert = csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=dialect.null_values,
        strings_can_be_null=True,
        decimal_point=dialect.decimal,
    )
    parse = csv.ParseOptions(delimiter=header.separator, quote_char=dialect.quote or False)

    def read(block: bytes) -> pa.Table:
        if b"\0" in block:
            raise pa.ArrowInvalid("a NUL byte")
        # Larger than the block: Arrow must not split it, or its line numbers would begin anew.
        options = csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1)
        try:
            table = csv.read_csv(pa.BufferReader(block), options, parse, convert)
        except pa.ArrowInvalid as error:
            raise pa.ArrowInvalid(_reason(error, header.names)) from None
        if any(table.column(name).null_count < table.num_rows for name in unnamed):
            raise pa.ArrowInvalid("a value in a column without a name")
        table = table.select(columns.names).combine_chunks()
        if header.padded:
            table = _trimmed(table)
        for field in lists:
            place = table.schema.get_field_index(field.name)
            table = table.set_column(place, field, _lists(table.column(place), field))
        if problem := missing(table, columns) or (check(table) if check else ""):
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


def _lists(cells: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    """Cells such as `[1, 2]` as lists."""
    values = []
    for cell in cells.to_pylist():
        try:
            value = None if cell is None else json.loads(cell)
            values.append(pa.array([value], field.type)[0])
        except (ValueError, pa.ArrowException):
            raise pa.ArrowInvalid(
                f"{field.name}: {cell[:100]!r}, expected a list such as [1, 2]"
            ) from None
    return pa.array([value.as_py() for value in values], field.type)


def _middle(row_ends: re.Pattern[bytes], block: bytes) -> int | None:
    """Where the row in the middle of some rows ends; None for a single row.

    A line end within a quoted value ends no row: half of an invalid row must not pass for a row.
    """
    ends = (match.end() for match in row_ends.finditer(block) if match[0] == b"\n")
    cuts = [end for end in ends if end < len(block)]
    return min(cuts, key=lambda cut: abs(cut - len(block) // 2)) if cuts else None


def _reason(error: Exception, names: tuple[str, ...]) -> str:
    """Arrow's error of a line with the column's name, and without the position in its block."""
    text = " ".join(str(error).split())
    if match := _CONVERSION.search(text):
        place, kind, problem = match.groups()
        return f"{names[int(place)]}: {problem[:100]}, expected {_KINDS.get(kind, kind)}"
    return text.rpartition("Row #1: ")[2].removeprefix("CSV parse error: ")[:160]
