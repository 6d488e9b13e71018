"""Rows of files for `overnight predict`: pictures, arrays, CSV, Parquet and JSON lines.

A row is what a client would send: a value for each input by name, with None where one is missing.
"""

import base64
import csv
import gzip
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import numpy as np

from overnight.cli.actions.project.inspect_rows import tensor_name
from overnight.cli.actions.read_image import read_image
from overnight.models.examples import Array
from overnight.store.errors import BadFile
from overnight.store.schema import NUMPY_TYPES, TensorSpec

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"})
_SENT_AS_THEY_ARE = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_DELIMITERS = ",;\t|"
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})
_KNOWN = "pictures, .npy, .json, .jsonl, .csv and .parquet"


@dataclass(frozen=True)
class FileRow:
    """One row of a file: its name for people, and its values by input, or why it has none."""

    name: str
    values: Mapping[str, Any]
    problem: str = ""


def rows_of(file: Path, inputs: Sequence[TensorSpec]) -> Iterator[FileRow]:
    """The rows of a file, one by one; a row that cannot be read says why.

    Raises:
        BadFile: the file as a whole cannot be read, or lacks an input that has no default.
    """
    kinds = [suffix.lower() for suffix in file.suffixes]
    kind = next((kind for kind in reversed(kinds) if kind != ".gz"), "")
    if kind in PICTURES:
        spec = _picture_input(inputs, file)
        yield FileRow(file.name, {spec.name: _picture(file, spec)})
    elif kind in {".csv", ".tsv"}:
        yield from _table(file, _csv_rows(file), inputs)
    elif kind == ".parquet":
        yield from _table(file, _parquet_rows(file), inputs)
    elif kind in {".jsonl", ".ndjson"}:
        yield from _json_lines(file, inputs)
    elif kind == ".json" and (rows := _objects(file)) is not None:
        yield from _json_rows(file, rows, inputs)
    else:
        spec = _only_input(inputs, file)
        batch = read_rows(file, spec)
        for number, row in enumerate(batch):
            name = file.name if len(batch) == 1 else f"{file.name}[{number}]"
            yield FileRow(name, {spec.name: row.tolist()})


def read_rows(file: Path, tensor: TensorSpec) -> Array:
    """The rows of an array's file, as the model takes them: [n, *shape] of its datatype.

    Raises:
        BadFile: not an array, or of another shape or type.
    """
    try:
        array = _read_array(file)
    except (ValueError, OSError, EOFError) as error:
        raise BadFile(str(file), expected="an array", found=str(error)[:200]) from None
    rows = array[None] if array.shape == tensor.shape else array
    expected_type = np.dtype(NUMPY_TYPES[tensor.datatype])
    if rows.shape[1:] != tensor.shape or not len(rows):
        expected = f"one row {list(tensor.shape)} or several, [n, …]"
        raise BadFile(str(file), expected=expected, found=f"the shape {list(array.shape)}")
    if tensor.text is not None:
        return rows
    cast = rows.astype(expected_type) if rows.dtype.kind in "biuf" else None
    # A cast that changes values, such as 300 to uint8, would silently predict something else.
    if cast is None or (expected_type.kind != "f" and not np.array_equal(cast, rows)):
        raise BadFile(str(file), expected=f"values of type {expected_type}", found=str(rows.dtype))
    return cast


def _read_array(file: Path) -> Array:
    if file.suffix.lower() == ".npy":
        loaded: Array = np.load(file, allow_pickle=False)
        return loaded
    if file.suffix.lower() == ".json":
        return np.asarray(json.loads(file.read_bytes()))
    raise ValueError(f"the ending {file.suffix!r}; known are {_KNOWN}")


def _objects(file: Path) -> list[Any] | None:
    """A JSON file of one object, or of a list that has some; None of anything else."""
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, OSError) as error:
        raise BadFile(str(file), expected="an array", found=str(error)[:200]) from None
    if isinstance(content, dict):
        return [content]
    is_rows = isinstance(content, list) and any(isinstance(row, dict) for row in content)
    return content if is_rows else None


def _json_rows(file: Path, rows: Sequence[Any], inputs: Sequence[TensorSpec]) -> Iterator[FileRow]:
    """The rows of a JSON list; one that is no object costs no other."""
    for number, row in enumerate(rows, 1):
        name = f"{file.name} row {number}"
        yield _object_row(name, row, inputs, file.parent)


def _object_row(name: str, content: Any, inputs: Sequence[TensorSpec], folder: Path) -> FileRow:
    """A row of JSON. One without an input that has no default is not sent, to be refused alone."""
    if not isinstance(content, dict):
        return FileRow(name, {}, "expected an object with a value for each input")
    renamed = _renamed(content, inputs)
    named = {renamed.get(str(key), str(key)): value for key, value in content.items()}
    if absent := _absent(named, inputs):
        return FileRow(name, {}, f"expected a value for {', '.join(absent)}, found none")
    return _row(name, named, inputs, folder)


def _json_lines(file: Path, inputs: Sequence[TensorSpec]) -> Iterator[FileRow]:
    with _opened(file) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            name = f"{file.name} row {number}"
            try:
                content = json.loads(line)
            except ValueError as error:
                yield FileRow(name, {}, f"expected JSON, found {error}")
                continue
            if not isinstance(content, dict) and len(inputs) == 1:
                content = {inputs[0].name: content}
            yield _object_row(name, content, inputs, file.parent)


def _table(
    file: Path, rows: Iterator[Mapping[str, Any]], inputs: Sequence[TensorSpec]
) -> Iterator[FileRow]:
    names: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if number == 1:
            names = _renamed(row, inputs)
        named = {names.get(name, name): value for name, value in row.items()} if names else row
        if number == 1:
            _check_columns(file, named, inputs)
        yield _row(f"{file.name} row {number}", named, inputs, file.parent)


def _renamed(row: Mapping[str, Any], inputs: Sequence[TensorSpec]) -> dict[str, str]:
    """The inputs of columns that are called otherwise, as `overnight new --from` names them."""
    absent = {spec.name for spec in inputs} - set(row)
    # A line that is too long has its last cells under None.
    names = {header: tensor_name(header) for header in row if header and absent}
    return {header: name for header, name in names.items() if name in absent}


def _check_columns(file: Path, row: Mapping[str, Any], inputs: Sequence[TensorSpec]) -> None:
    if absent := _absent(row, inputs):
        raise BadFile(
            str(file),
            expected=f"a column for each of {[spec.name for spec in inputs]}",
            found=f"no {', '.join(absent)} among {[str(name)[:40] for name in row][:20]}",
        )


def _absent(row: Mapping[str, Any], inputs: Sequence[TensorSpec]) -> list[str]:
    return [spec.name for spec in inputs if spec.default is None and spec.name not in row]


def _row(name: str, row: Mapping[str, Any], inputs: Sequence[TensorSpec], folder: Path) -> FileRow:
    """The values of the inputs; further columns, such as the label, are left out."""
    values = {}
    for spec in inputs:
        if spec.name in row:
            try:
                value = _value(spec, row[spec.name], folder)
                # A gap where none may be is left to the default.
                if value is not None or spec.default is None or spec.accepts_missing:
                    values[spec.name] = value
            except (BadFile, ValueError, OSError) as error:
                return FileRow(name, {}, f"{spec.name}: {error}")
    return FileRow(name, values)


def _value(spec: TensorSpec, value: Any, folder: Path) -> Any:
    """A value of a column as a client sends it: cells of text become what the input takes.

    What cannot be converted is sent as it is, so that serving says what it expected.
    """
    if isinstance(value, float) and math.isnan(value):
        return None
    if spec.takes_pictures and isinstance(value, str | bytes):
        return _bytes_as_json(value if isinstance(value, bytes) else (folder / value).read_bytes())
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime | date):
        return value.isoformat()[:10]
    if isinstance(value, Decimal):
        return float(value)
    return _of_cell(spec, value) if isinstance(value, str) else value


def _of_cell(spec: TensorSpec, cell: str) -> Any:
    if spec.text is not None and not spec.shape:
        return None if not cell and spec.accepts_missing else cell
    if not cell.strip():
        return None
    if spec.shape:
        return json.loads(cell)
    return cell if cell in spec.vocabulary or spec.date else _number(spec, cell)


def _number(spec: TensorSpec, cell: str) -> Any:
    """A number or a flag; any other text as it is."""
    if spec.datatype == "BOOL" and cell.strip().lower() in _TRUE | _FALSE:
        return cell.strip().lower() in _TRUE
    try:
        return float(cell) if spec.datatype.startswith("FP") else int(cell)
    except ValueError:
        return cell


def _csv_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    with _opened(file) as lines:
        try:
            header = lines.readline()
            delimiter = max(_DELIMITERS, key=header.count)
            names = next(csv.reader([header], delimiter=delimiter), [])
            yield from csv.DictReader(lines, fieldnames=names, delimiter=delimiter)
        except (csv.Error, UnicodeDecodeError) as error:
            raise BadFile(str(file), expected="CSV in UTF-8", found=str(error)[:200]) from None


def _parquet_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    # Slow to import, and most files are none.
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        for batch in ParquetFile(file).iter_batches(1_024):
            yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise BadFile(str(file), expected="a Parquet file", found=str(error)[:200]) from None


def _opened(file: Path) -> IO[str]:
    opener = gzip.open if file.suffix.lower() == ".gz" else open
    return opener(file, "rt", encoding="utf-8-sig", newline="")


def _picture(file: Path, spec: TensorSpec) -> Any:
    """A picture as a client sends it: drawings as pixels, since only they are cut and inverted."""
    if spec.bright_on_dark:
        return read_image(file, spec).tolist()
    if file.suffix.lower() in _SENT_AS_THEY_ARE:
        return _bytes_as_json(file.read_bytes())
    from PIL import Image

    converted = io.BytesIO()
    try:
        with Image.open(file) as image:
            image.save(converted, "PNG")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadFile(str(file), expected="an image", found=str(error)[:200]) from None
    return _bytes_as_json(converted.getvalue())


def _bytes_as_json(body: bytes) -> str:
    return base64.b64encode(body).decode()


def _picture_input(inputs: Sequence[TensorSpec], file: Path) -> TensorSpec:
    needed = [spec for spec in inputs if spec.default is None]
    if len(needed) == 1 and needed[0].takes_pictures:
        return needed[0]
    shown = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in inputs)
    raise BadFile(str(file), expected=f"values of {shown}", found="an image")


def _only_input(inputs: Sequence[TensorSpec], file: Path) -> TensorSpec:
    if len(inputs) == 1:
        return inputs[0]
    names = [spec.name for spec in inputs]
    raise BadFile(
        str(file), expected=f"rows with {names}: .csv, .parquet, .jsonl", found="one array"
    )
