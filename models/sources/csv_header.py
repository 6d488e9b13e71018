"""The first line of a CSV file: its column names, or what the file is instead of a CSV.

Files of other programs are refused by what they are, because a parser's own message about them
names something else.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from overnight.models.sources.csv_dialect import COMMAS, SEPARATORS, Csv
from overnight.models.sources.packing import unpacked, unpacking_errors
from overnight.store.errors import BadFile

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
# How files begin that people name, or rename, .csv.
_SIGNATURES = (
    (b"PAR1", "a Parquet file"),
    (b"PK\x03\x04", "a zip archive, such as an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (_GZIP, "gzip within gzip"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)


@dataclass(frozen=True)
class Header:
    """Column names without the spaces around them; `padded` when there were some."""

    file: str
    names: tuple[str, ...]
    padded: bool = False
    separator: str = ","

    def require(self, columns: Sequence[str]) -> None:
        """Check that each of these columns is there once; any others may be there, too.

        Raises:
            BadFile: naming the column, or the separator when it is no comma.
        """
        for column in columns:
            if (n := self.names.count(column)) == 1:
                continue
            problem = f"{column} is there {'twice' if n == 2 else f'{n} times'}"
            if not n:
                problem = self._separator(columns) or f"{column} is not there"
            needed = ", ".join(columns) if len(columns) <= 20 else f"{columns[0]}, …"
            raise BadFile(self.file, expected=f"the columns {needed}", found=problem)

    def _separator(self, columns: Sequence[str]) -> str:
        """What separates the columns, if it is something else than commas."""
        text = self.separator.join(self.names)
        for separator, what in SEPARATORS.items():
            if separator == self.separator:
                continue
            names = [name.strip().strip('"') for name in text.split(separator)]
            if len(names) > 1 and not set(columns).isdisjoint(names):
                expected = SEPARATORS.get(self.separator, repr(self.separator))
                return f"columns separated by {what} instead of {expected}"
        return ""


def read_header(name: str, file: BinaryIO, most_bytes: int) -> Header:
    """The header of a file; its position is restored.

    Raises:
        BadFile: there is no such line of at most `most_bytes`, or the file is no CSV.
    """
    place = file.tell()
    try:
        with unpacking_errors(name):
            return parse_header(name, unpacked(name, file).readline(most_bytes))
    finally:
        file.seek(place)


def parse_header(
    name: str, line: bytes, dialect: Csv = COMMAS, columns: Sequence[str] = ()
) -> Header:
    """The column names in the first line of a file, in UTF-8.

    Where the dialect leaves the separator open, it is the first under which the line has these
    `columns`, or a comma if there is none.

    Raises:
        BadFile: it names no columns; says which format or encoding the file has instead.
    """
    expected = "a CSV in UTF-8 that begins with a line of column names"
    if other := _other_format(line):
        raise BadFile(name, expected=expected, found=other)
    tried = [dialect.separator] if dialect.separator else list(SEPARATORS)
    headers = []
    try:
        text = line.removeprefix(_BYTE_ORDER_MARK).decode()
        for separator in filter(None, tried):
            headers.append(_cells(name, text, separator, dialect))
            if columns and set(columns) <= set(headers[-1].names):
                return headers[-1]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(name, expected=expected, found=f"{error}"[:200]) from None
    if not any(headers[0].names):
        raise BadFile(name, expected=expected, found="an empty line" if line else "no line")
    return headers[0]


def _cells(name: str, text: str, separator: str, dialect: Csv) -> Header:
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        strict=True,
    )
    cells = next(reader, [])
    names = tuple(cell.strip() for cell in cells)
    renamed = tuple(dialect.rename.get(each, each) for each in names)
    return Header(name, renamed, padded=names != tuple(cells), separator=separator)


def _other_format(line: bytes) -> str:
    for signature, what in _SIGNATURES:
        if line.startswith(signature):
            return what
    if b"\0" in line:
        return "text in UTF-16" if line.count(0) > len(line) // 4 else "NUL bytes"
    # Read as one endless header, a file of such lines would seem to have no rows.
    return "lines that end in CR alone" if b"\r" in line.rstrip(b"\r\n") else ""
