"""Rows of labels for `overnight feedback`, from CSV, Parquet and JSON lines, with their lines."""

import csv
import gzip
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, BinaryIO

from overnight.store.errors import BadFile

_DELIMITERS = ",;\t|"
_KNOWN = ".csv, .tsv, .jsonl, .ndjson or .parquet, and .gz of the texts"
_BATCH_ROWS = 4_096
COLUMNS = "request or caller, truth, and row where a request had several"


@dataclass(frozen=True)
class LabelRow:
    """One label of a file: its line, what to send, or why it cannot be; and the bytes so far."""

    line: int
    label: Mapping[str, Any]
    problem: str = ""
    read_bytes: int = 0


def label_rows(file: Path, classes: Sequence[str]) -> Iterator[LabelRow]:
    """The labels of a file, one by one; `classes` are those of the model's first output.

    Raises:
        BadFile: the file as a whole cannot be read, or lacks a column.
    """
    kinds = [suffix.lower() for suffix in file.suffixes]
    kind = next((kind for kind in reversed(kinds) if kind != ".gz"), "")
    if kind in {".csv", ".tsv"}:
        rows = _csv_rows(file)
    elif kind in {".jsonl", ".ndjson"}:
        rows = _json_rows(file)
    elif kind == ".parquet":
        rows = _parquet_rows(file)
    else:
        raise BadFile(str(file), expected=f"labels as {_KNOWN}", found=f"the ending {kind!r}")
    for line, row, read_bytes in rows:
        if isinstance(row, str):
            yield LabelRow(line, {}, row, read_bytes)
            continue
        try:
            yield LabelRow(line, _label(row, classes), read_bytes=read_bytes)
        except ValueError as error:
            yield LabelRow(line, {}, str(error), read_bytes)


# The line, the columns by name or why there are none, and how far the file is read.
_Rows = Iterator[tuple[int, Mapping[str, Any] | str, int]]


def _label(row: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """What to send of a row; empty cells are as if they were not there.

    Raises:
        ValueError: saying what is missing, or what cannot be a label.
    """
    given = {name: value for name, value in row.items() if not _is_empty(value)}
    by = next((name for name in ("request", "caller") if name in given), None)
    if by is None:
        raise ValueError("expected request, or else caller, found neither")
    label: dict[str, Any] = {by: str(given[by])}
    if "truth" not in given:
        raise ValueError("truth: expected what was true, found nothing")
    if "row" in given:
        label["row"] = _row_number(given["row"])
    return label | {"truth": _truth(given["truth"], classes)}


def _is_empty(value: Any) -> bool:
    is_blank = isinstance(value, str) and not value.strip()
    return value is None or is_blank or (isinstance(value, float) and math.isnan(value))


def _row_number(value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if number < 0 or number != int(number):
        raise ValueError(f"row: expected the row of the request, from 0, found {value!r:.60}")
    return int(number)


def _truth(value: Any, classes: Sequence[str]) -> Any:
    """A truth as serving takes it: cells of text become numbers where there are no such classes."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | date):
        raise ValueError(  # noqa: TRY004 - of the file, and not of this code
            f"truth: expected a class or a number, found {type(value).__name__}"
        )
    # Class 7 is often a number in a table, and its name is "7".
    if isinstance(value, int | float) and not isinstance(value, bool) and classes:
        name = str(int(value)) if value == int(value) else str(value)
        return name if name in classes else value
    if not isinstance(value, str) or value in classes:
        return value
    text = value.strip()
    if text[:1] in {"{", "["}:
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError(f"truth: expected JSON, found {text!r:.60}") from None
    try:
        number = float(text)
        # pandas writes 7.0 for class 7 where a column has gaps.
        return int(number) if classes and number == int(number) else number
    except (ValueError, OverflowError):
        # Serving says which classes there are.
        return value


def _csv_rows(file: Path) -> _Rows:
    with _opened(file) as (raw, lines):
        try:
            header = lines.readline()
            delimiter = max(_DELIMITERS, key=header.count)
            names = next(csv.reader([header], delimiter=delimiter), [])
            _check_columns(file, names)
            reader = csv.reader(lines, delimiter=delimiter)
            # After the header, and lines within quotes count.
            line = 2
            for cells in reader:
                if len(cells) > len(names):
                    yield line, f"expected {len(names)} cells, found {len(cells)}", raw.tell()
                elif cells:
                    yield line, dict(zip(names, cells, strict=False)), raw.tell()
                line = reader.line_num + 2
        except (csv.Error, UnicodeDecodeError, EOFError, OSError) as error:
            raise _unreadable(file, "CSV in UTF-8", error) from None


def _json_rows(file: Path) -> _Rows:
    with _opened(file) as (raw, lines):
        try:
            for line, text in enumerate(lines, 1):
                if not text.strip():
                    continue
                try:
                    row = json.loads(text)
                except ValueError as error:
                    yield line, f"expected JSON, found {error}", raw.tell()
                    continue
                what = row if isinstance(row, dict) else f"expected an object with {COLUMNS}"
                yield line, what, raw.tell()
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise _unreadable(file, "JSON lines in UTF-8", error) from None


def _parquet_rows(file: Path) -> _Rows:
    # Slow to import, and most files are none.
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    size = file.stat().st_size
    try:
        with ParquetFile(file) as parquet:
            _check_columns(file, parquet.schema_arrow.names)
            wanted = {"request", "caller", "row", "truth"}
            chosen = [name for name in parquet.schema_arrow.names if name in wanted]
            rows, line = max(1, parquet.metadata.num_rows), 0
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=chosen):
                for row in batch.to_pylist():
                    line += 1
                    yield line, row, size * line // rows
    except (ArrowException, OSError) as error:
        raise _unreadable(file, "a Parquet file", error) from None


def _check_columns(file: Path, names: Sequence[str]) -> None:
    if "truth" not in names or not {"request", "caller"} & set(names):
        there = f"the columns {[str(name)[:40] for name in names][:20]}"
        raise BadFile(str(file), expected=COLUMNS, found=there)


def _unreadable(file: Path, expected: str, error: Exception) -> BadFile:
    return BadFile(str(file), expected=expected, found=str(error)[:200])


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BinaryIO, IO[str]]]:
    """The file as bytes, to ask how far it is read, and as lines of text."""
    with file.open("rb") as raw:
        body: Any = gzip.GzipFile(fileobj=raw) if file.suffix.lower() == ".gz" else raw
        with io.TextIOWrapper(body, encoding="utf-8-sig", newline="") as lines:
            yield raw, lines
