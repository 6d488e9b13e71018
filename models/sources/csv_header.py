"""The first line of a CSV file: its column names, or what the file is instead of a CSV.

A CSV is UTF-8 with commas, plain or in gzip. Files of other programs are refused by what they are,
because a parser's own message about them names something else.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

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
_SEPARATORS = ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars"))


@dataclass(frozen=True)
class Header:
    """Column names without the spaces around them; `padded` when there were some."""

    file: str
    names: tuple[str, ...]
    padded: bool = False

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
        text = ",".join(self.names)
        for separator, what in _SEPARATORS:
            names = [name.strip().strip('"') for name in text.split(separator)]
            if len(names) > 1 and not set(columns).isdisjoint(names):
                return f"columns separated by {what} instead of commas"
        return ""


def read_header(name: str, file: BinaryIO, most_bytes: int) -> Header:
    """The header of a file; its position is restored.

    Raises:
        BadFile: there is no such line of at most `most_bytes`, or the file is no CSV.
    """
    place = file.tell()
    try:
        with gzip_errors(name):
            return parse_header(name, unpacked(name, file).readline(most_bytes))
    finally:
        file.seek(place)


def unpacked(name: str, file: BinaryIO) -> BinaryIO:
    """The bytes of a file, unpacked when they begin as gzip does or the name says so."""
    place = file.tell()
    is_gzip = file.read(len(_GZIP)) == _GZIP
    file.seek(place)
    if is_gzip or name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    return file


@contextmanager
def gzip_errors(name: str) -> Iterator[None]:
    """Raise what reading an `unpacked` file raises as BadFile."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(name, expected="a gzip file", found=f"{error}"[:200]) from None


def parse_header(name: str, line: bytes) -> Header:
    """The column names in the first line of a file.

    Raises:
        BadFile: it names no columns; says which format or encoding the file has instead.
    """
    expected = "a CSV in UTF-8 that begins with a line of column names"
    if other := _other_format(line):
        raise BadFile(name, expected=expected, found=other)
    try:
        text = line.removeprefix(_BYTE_ORDER_MARK).decode()
        cells = next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(name, expected=expected, found=f"{error}"[:200]) from None
    names = tuple(cell.strip() for cell in cells)
    if not any(names):
        raise BadFile(name, expected=expected, found="an empty line" if line else "no line")
    return Header(name, names, padded=names != tuple(cells))


def _other_format(line: bytes) -> str:
    for signature, what in _SIGNATURES:
        if line.startswith(signature):
            return what
    if b"\0" in line:
        return "text in UTF-16" if line.count(0) > len(line) // 4 else "NUL bytes"
    # Read as one endless header, a file of such lines would seem to have no rows.
    return "lines that end in CR alone" if b"\r" in line.rstrip(b"\r\n") else ""
