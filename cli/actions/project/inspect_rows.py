"""What the columns of a CSV file are: numbers, categories, texts, dates or keys."""

import csv
import io
import keyword
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from overnight.store.errors import ConfigurationError

Kind = Literal["number", "category", "text", "date", "key"]
# What people write where there is no value; an empty cell is one everywhere.
MISSING = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "-")
_SEPARATORS = ",;\t|"
# Fewer cannot show which of two versions is better.
LEAST_ROWS = 100
_MOST_CLASSES, _MOST_CODES = 50, 10
# Of texts, the mean number of words from which a column is one.
_WORDS = 4
_RESERVED = frozenset({*keyword.kwlist, "self", "file", "allow_pickle", "digest"})


@dataclass(frozen=True)
class ColumnOfRows:
    """A column: its name in the file and in the model, and what it holds.

    `values` are the distinct ones, the most frequent first; numbers of those that are numeric.
    """

    header: str
    name: str
    kind: Kind
    gaps: bool
    values: tuple[str, ...]
    n: int
    word_count: float = 0.0


@dataclass(frozen=True)
class Inspected:
    """The columns of a file, and how it is written."""

    columns: tuple[ColumnOfRows, ...]
    rows: int
    missing: tuple[str, ...]
    decimal: str
    encoding: str

    def column(self, header: str) -> ColumnOfRows:
        """A column by its name in the file.

        Raises:
            ConfigurationError: there is none; with the names that there are.
        """
        for column in self.columns:
            if header in (column.header, column.name):
                return column
        names = ", ".join(column.header for column in self.columns)
        raise ConfigurationError(f"--target: no column is called {header!r} among {names}")


def inspect(path: Path) -> Inspected:
    """Read a CSV file with a header, and say what its columns are.

    Raises:
        ConfigurationError: it is no such file, has too few rows, or two columns of one name.
    """
    text, encoding = _text(path)
    header, rows = _cells(path, text)
    if len(rows) < LEAST_ROWS:
        raise ConfigurationError(
            f"{path} has {len(rows)} rows; at least {LEAST_ROWS} are needed, of which some judge "
            "every version; bring more"
        )
    by_column = list(zip(*rows, strict=True))
    missing = tuple(mark for mark in MISSING if _is_missing_mark(mark, by_column))
    decimal = "," if any(_has_comma(cells, missing) for cells in by_column) else "."
    columns: list[ColumnOfRows] = []
    for name, cells in zip(header, by_column, strict=True):
        column = _column(name, cells, missing, decimal)
        # Of a column with gaps the network has another input, which says where they are.
        reserved = {column.name.lower() for column in columns}
        reserved |= {f"{column.name}_missing".lower() for column in columns if column.gaps}
        added = {each.removesuffix("_missing") for each in reserved if each.endswith("_missing")}
        columns.append(
            replace(column, name=_tensor_name(name, reserved | (added if column.gaps else set())))
        )
    return Inspected(tuple(columns), len(rows), missing, decimal, encoding)


def _text(path: Path) -> tuple[str, str]:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--from: {path}: {error.strerror}") from None
    # No text has zeros, but in other encodings every second byte is one.
    for encoding in ("utf-8-sig", "cp1252") if b"\0" not in body else ():
        try:
            return body.decode(encoding), encoding.removesuffix("-sig")
        except UnicodeDecodeError:
            continue
    raise ConfigurationError(f"{path} is no text in UTF-8 or Windows-1252; save it as CSV in UTF-8")


def _cells(path: Path, text: str) -> tuple[list[str], list[list[str]]]:
    first = text.splitlines()[0] if text else ""
    separator = max(_SEPARATORS, key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        table = [row for row in lines if row]
    except csv.Error as error:
        raise ConfigurationError(
            f"{path}: line {lines.line_num} cannot be read: {error}; is a quote missing?"
        ) from None
    header = [name.strip() for name in table[0]] if table else []
    if len(header) < 2:
        raise ConfigurationError(
            f"{path}: expected a header of two columns or more, separated by a comma, semicolon, "
            f"tab or vertical bar, found {first[:80]!r}"
        )
    if twice := [name for name, n in Counter(header).items() if n > 1]:
        raise ConfigurationError(f"{path} has two columns called {twice[0]!r}; rename one")
    for number, row in enumerate(table[1:], 2):
        if len(row) != len(header):
            raise ConfigurationError(
                f"{path}: row {number} has {len(row)} cells, expected {len(header)} as the header"
            )
    return header, table[1:]


def _is_missing_mark(mark: str, by_column: Sequence[Sequence[str]]) -> bool:
    """Whether a mark stands among numbers alone, where it can only mean that there is none."""
    return any(
        mark in cells
        and all(_number(_pointed(cell)) is not None for cell in set(cells) - {mark, ""})
        for cells in by_column
        if len(set(cells) - {mark, ""}) > 1
    )


def _has_comma(cells: Sequence[str], missing: Sequence[str]) -> bool:
    """Whether a column is of numbers such as 1,5."""
    present = set(cells) - {"", *missing}
    with_comma = [cell for cell in present if _pointed(cell) != cell]
    return bool(with_comma) and all(_number(cell.replace(",", ".")) is not None for cell in present)


def _pointed(cell: str) -> str:
    """A number such as 1,5 with a point; anything else as it is."""
    return cell.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", cell) else cell


def _column(
    header: str, cells: Sequence[str], missing: Sequence[str], decimal: str
) -> ColumnOfRows:
    present = [cell for cell in cells if cell and cell not in missing]
    counts = Counter(present)
    values = tuple(
        value for value, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    word_count = sum(len(cell.split()) for cell in present) / max(len(present), 1)
    kind = _kind([value.replace(decimal, ".") for value in values], len(present), word_count)
    gaps = len(present) < len(cells)
    return ColumnOfRows(header, header, kind, gaps, values, len(cells), word_count)


def _kind(values: Sequence[str], n: int, word_count: float) -> Kind:
    numbers = [_number(value) for value in values]
    if values and None not in numbers:
        known = [number for number in numbers if number is not None]
        # Whole numbers of which none occurs twice, without a gap, count the rows.
        counts_rows = len(values) == n and max(known) - min(known) == n - 1
        return "key" if counts_rows and all(x.is_integer() for x in known) else "number"
    if values and all(_is_date(value) for value in values):
        return "date"
    if word_count >= _WORDS:
        return "text"
    return "key" if len(values) == n else "category"


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    # Python reads 1_000 and digits of other scripts, which no reader of CSV does.
    plain = cell.isascii() and "_" not in cell
    return value if plain and math.isfinite(value) else None


def _is_date(cell: str) -> bool:
    try:
        return len(cell) == len("2026-11-22") and bool(date.fromisoformat(cell))
    except ValueError:
        return False


def tensor_name(header: str) -> str:
    """The name of an input for a column of a file, with characters that networks can export."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", header).strip("_.-") or "column"
    return f"{name}_" if name in _RESERVED else name


def _tensor_name(header: str, names: set[str]) -> str:
    """A name that networks can be exported with, and that no column before it has."""
    name = tensor_name(header)
    numbered, count = name, 1
    while numbered.lower() in names:
        count += 1
        numbered = f"{name}_{count}"
    return numbered


def is_classes(column: ColumnOfRows) -> bool:
    """Whether a target is a class of a few: names, or a few whole numbers.

    Raises:
        ConfigurationError: it is neither classes nor numbers, or there are too many classes.
    """
    if column.gaps:
        raise ConfigurationError(
            f"the target {column.header} has rows without a value; remove them, for there is "
            "nothing to learn from them"
        )
    if len(column.values) < 2:
        raise ConfigurationError(f"the target {column.header} has one value in all rows")
    whole = all((_number(value) or 0.5).is_integer() or value == "0" for value in column.values)
    if column.kind == "number" and not (whole and len(column.values) <= _MOST_CODES):
        return False
    if column.kind not in ("number", "category") or len(column.values) > _MOST_CLASSES:
        raise ConfigurationError(
            f"the target {column.header} has {len(column.values)} different values, such as "
            f"{column.values[0]!r}: expected numbers, or at most {_MOST_CLASSES} classes"
        )
    return True
