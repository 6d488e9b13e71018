"""Reads digits from tables: CSV with a header, Parquet, and numpy archives."""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from overnight.models.digits.idx import MAXIMUM_BYTES
from overnight.models.digits.png import decode_png
from overnight.models.digits.rows import PIXELS, SIDE, Digits, checked, within
from overnight.store.errors import BadFile

_CELLS = [(row, column) for row in range(1, SIDE + 1) for column in range(1, SIDE + 1)]
# Common names of pixel columns, row by row.
_NAMINGS: tuple[tuple[str, ...], ...] = (
    tuple(f"pixel{number}" for number in range(PIXELS)),
    tuple(f"pixel{number}" for number in range(1, PIXELS + 1)),
    tuple(f"{row}x{column}" for row, column in _CELLS),
    tuple(str(number) for number in range(PIXELS)),
)
_PAIRS = (("images", "labels"), ("x", "y"), ("x_train", "y_train"), ("x_test", "y_test"))
# Raised by archives that are damaged, encrypted, pickled or larger than they claim.
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
)
MAXIMUM_ROWS = 200_000
_INTEGER = re.compile(r"\s*[+-]?\d+\s*")


def read_csv(file: str, body: bytes) -> Digits:
    """CSV with a header: a column `label` anywhere, 784 columns of pixels; a digit a line.

    Raises:
        BadFile: naming the column that is missing, or the line and column that are wrong.
    """
    try:
        header = next(csv.reader(io.StringIO(body.partition(b"\n")[0].decode("utf-8-sig"))), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(file, expected="a CSV header in UTF-8", found=str(error)) from None
    names = [name.strip().lower() for name in header]
    label, order = _layout(file, names)
    unique = [str(number) for number in range(len(names))]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(body),
            read_options=pyarrow.csv.ReadOptions(column_names=unique, skip_rows=1),
            convert_options=pyarrow.csv.ConvertOptions(
                # Wide labels, so that a wrong one is named by the check instead of by Arrow.
                column_types={
                    name: pa.int64() if number == label else pa.uint8()
                    for number, name in enumerate(unique)
                },
                null_values=[],
            ),
        )
    except pa.ArrowInvalid as error:
        raise _first_bad_cell(file, body, names, label) or BadFile(
            file, expected="a table of whole numbers", found=str(error)[:200]
        ) from None
    return _from_columns(file, table, label, order)


def read_parquet(file: str, body: bytes) -> Digits:
    """Columns `label` and either `image` (or `pixels`) or 784 of pixels.

    An image is 784 bytes, a list of 784 numbers, or a PNG in a field `bytes`.

    Raises:
        BadFile: unreadable, too large, or without these columns.
    """
    try:
        parquet = pyarrow.parquet.ParquetFile(pa.BufferReader(body))
        rows = parquet.metadata.num_rows
        # A few bytes of Parquet can stand for any number of equal rows.
        if rows > MAXIMUM_ROWS:
            raise BadFile(file, expected=f"at most {MAXIMUM_ROWS:,} rows", found=f"{rows:,}")
        table = parquet.read()
    except (pa.ArrowException, OSError) as error:
        raise BadFile(file, expected="a Parquet file", found=str(error)[:200]) from None
    names = [name.strip().lower() for name in table.column_names]
    if nulls := [name for name in table.column_names if table.column(name).null_count]:
        raise BadFile(file, expected="no missing values", found=f"some in {nulls[0]}")
    for name in ("image", "pixels"):
        if name in names and "label" in names:
            images = _images(file, table.column(names.index(name)))
            return checked(file, images, _numbers(file, table.column(names.index("label"))))
    return _from_columns(file, table, *_layout(file, names))


def read_npz(file: str, body: bytes) -> Digits:
    """Arrays `images` and `labels`, or `x` and `y`, also by `_train` and `_test`.

    Raises:
        BadFile: no archive, no such pair, arrays of objects, or larger than `MAXIMUM_BYTES`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            size_bytes = sum(entry.file_size for entry in archive.infolist())
            if size_bytes > MAXIMUM_BYTES:
                raise BadFile(
                    file, expected=f"at most {MAXIMUM_BYTES:,} bytes", found=f"{size_bytes:,}"
                )
            arrays = {
                name.removesuffix(".npy"): np.asarray(
                    np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                )
                for name in archive.namelist()
            }
    except _ARCHIVE_ERRORS as error:
        raise BadFile(file, expected="a numpy archive", found=str(error)[:200]) from None
    parts = [
        checked(file, arrays[images], arrays[labels])
        for images, labels in _PAIRS
        if images in arrays and labels in arrays
    ]
    if not parts:
        raise BadFile(
            file, expected="arrays images and labels, or x and y", found=f"{sorted(arrays)}"
        )
    return Digits(
        np.concatenate([digits.images for digits in parts]),
        np.concatenate([digits.labels for digits in parts]),
    )


def _layout(file: str, names: Sequence[str]) -> tuple[int, list[int]]:
    """The index of the label column, and those of the pixel columns, row by row."""
    if "label" not in names:
        raise BadFile(
            file, expected="a column label", found=f"{len(names)} columns, first {names[:3]}"
        )
    label = names.index("label")
    pixels = {name: number for number, name in enumerate(names) if number != label}
    naming = max(_NAMINGS, key=lambda naming: len(pixels.keys() & set(naming)))
    if pixels.keys() == set(naming):
        return label, [pixels[name] for name in naming]
    others = [number for number in range(len(names)) if number != label]
    if len(others) == PIXELS:
        return label, others
    missing = [name for name in naming if name not in pixels]
    example = f" (no {missing[0]})" if len(missing) < PIXELS else ""
    raise BadFile(
        file, expected=f"{PIXELS} columns of pixels", found=f"{len(others)} of them{example}"
    )


def _from_columns(file: str, table: pa.Table, label: int, order: Sequence[int]) -> Digits:
    images = np.empty((PIXELS, table.num_rows), np.uint8)
    names = table.column_names
    for place, number in enumerate(order):
        pixels = _numbers(file, table.column(number))
        within(file, pixels, 255, f"pixels in column {names[number]}")
        images[place] = pixels
    return checked(file, images.T, _numbers(file, table.column(label)))


def _images(file: str, column: pa.ChunkedArray) -> NDArray[np.generic]:
    """Images of a column of bytes, lists or PNGs, as [n, 784]."""
    if pa.types.is_struct(column.type):
        bodies = [value.get("bytes") or b"" for value in column.to_pylist()]
        return np.array([decode_png(file, body) for body in bodies]).reshape(-1, PIXELS)
    values = column.to_pylist()
    for number, value in enumerate(values):
        if not isinstance(value, bytes | list) or len(value) != PIXELS:
            size = f"{len(value)}" if isinstance(value, bytes | list) else str(column.type)
            raise BadFile(file, expected=f"{PIXELS} pixels an image", found=f"{size} in {number}")
    if values and isinstance(values[0], list):
        return np.array(values)
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, PIXELS)


def _numbers(file: str, column: pa.ChunkedArray) -> NDArray[np.generic]:
    if not pa.types.is_integer(column.type):
        raise BadFile(file, expected="whole numbers", found=f"the type {column.type}")
    return np.asarray(column.to_numpy())


def _first_bad_cell(file: str, body: bytes, names: Sequence[str], label: int) -> BadFile | None:
    """The first invalid cell with its line and column, which Arrow's error does not name."""
    lines = csv.reader(io.StringIO(body.decode("utf-8-sig", errors="replace")))
    for number, line in enumerate(lines):
        if number == 0 or not line:
            continue
        where = f"line {number + 1}"
        if len(line) != len(names):
            return BadFile(file, expected=f"{len(names)} columns", found=f"{len(line)} in {where}")
        for place, cell in enumerate(line):
            whole = _INTEGER.fullmatch(cell)
            if not whole or (place != label and not 0 <= int(cell) <= 255):
                return BadFile(
                    file,
                    expected="a label from 0 to 9" if place == label else "a pixel from 0 to 255",
                    found=f"{cell[:40]!r} in {where}, column {names[place]}",
                )
    return None
