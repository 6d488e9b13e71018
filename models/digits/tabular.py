"""Reads digits from tables: CSV with a header, Parquet, and numpy archives."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.models.digits.idx import MAXIMUM_BYTES
from overnight.models.digits.pixel_columns import label_column, pixel_columns
from overnight.models.digits.png import decode_png
from overnight.models.digits.rows import CLASSES, PIXELS, SIDE, Digits, checked
from overnight.models.sources import csv_stream
from overnight.models.sources.parquet_file import ParquetReader
from overnight.store.errors import BadFile, BadLines

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
# A PNG of 28 × 28 pixels has three kilobytes at most, and what its writer says about it.
_PICTURE_BYTES = 100_000
_BATCH_ROWS = 4_096
# Pixels as numbers of 64 bits, of which one batch is in memory.
_PARQUET_BYTES = MAXIMUM_ROWS * (PIXELS + 1) * 8


def read_csv(file: str, body: bytes) -> tuple[Digits, tuple[BadLines, ...]]:
    """CSV with a header: a column `label` and 784 numbered ones of pixels; a digit a line.

    The second value is the lines that will not do, if there are any.

    Raises:
        BadFile: naming the column that is missing, there twice or one too many.
    """
    names = csv_stream.header(file, io.BytesIO(body)).names
    label, pixels = label_column(file, names), pixel_columns(file, names)
    columns = pa.schema(
        [
            # A wide label, so that a wrong one is named by the check instead of by Arrow.
            pa.field(label, pa.int64(), nullable=False),
            *(pa.field(pixel, pa.uint8(), nullable=False) for pixel in pixels),
        ]
    )
    table, bad = csv_stream.read_whole(
        file, body, columns, check=_check_label, most_bytes=MAXIMUM_BYTES
    )
    digits = checked(
        file,
        _stacked([column.to_numpy() for column in table.columns[1:]], np.uint8),
        table.column(0).to_numpy(),
    )
    return digits, csv_stream.as_rejection(file, bad)


def read_parquet(file: str, body: bytes) -> Digits:
    """Columns `label` and either `image` (or `pixels`) or 784 numbered ones of pixels.

    An image is 784 bytes, a list of 784 numbers, or a PNG in a field `bytes`.

    Raises:
        BadFile: unreadable, too large, without these columns, or with a row that is wrong.
    """
    reader = ParquetReader(
        file,
        body,
        most_rows=MAXIMUM_ROWS,
        most_bytes=_PARQUET_BYTES,
        value_bytes=_PICTURE_BYTES,
    )
    names = reader.schema.names
    label, image = label_column(file, names), _image_column(names)
    columns = [image] if image is not None else pixel_columns(file, names)
    parts, row = [], 0
    for batch in reader.batches([label, *columns], values_per_row=PIXELS, rows=_BATCH_ROWS):
        _check_whole(file, batch, row)
        labels, *pixels = batch.columns
        if image is None:
            images = _stacked([_numbers(file, column) for column in pixels], np.int64)
        else:
            images = _images(file, pixels[0], row)
        parts.append(checked(file, images, _numbers(file, labels), first_row=row))
        row += batch.num_rows
    return joined(parts)


def _image_column(names: Sequence[str]) -> str | None:
    by_name = {name.strip().lower(): name for name in names}
    return by_name.get("image", by_name.get("pixels"))


def _check_whole(file: str, batch: pa.RecordBatch, row: int) -> None:
    for column, name in zip(batch.columns, batch.schema.names, strict=True):
        if column.null_count:
            missing = row + pc.index(column.is_null(), True).as_py()
            raise BadFile(file, expected="no missing values", found=f"no {name} in row {missing}")


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
    return joined(parts)


def joined(parts: Sequence[Digits]) -> Digits:
    """All digits of some parts, in order."""
    images, labels = [digits.images for digits in parts], [digits.labels for digits in parts]
    return Digits(
        np.concatenate([np.empty((0, SIDE, SIDE), np.uint8), *images]),
        np.concatenate([np.empty(0, np.int8), *labels]),
    )


def _check_label(table: pa.Table) -> str:
    labels = table.column(0).to_numpy()
    wrong = labels[(labels < 0) | (labels >= CLASSES)]
    return f"label: expected 0 to {CLASSES - 1}, found {wrong[0]}" if len(wrong) else ""


def _stacked(columns: Sequence[NDArray[np.generic]], kind: type[Any]) -> NDArray[np.generic]:
    """Columns of pixels as images, [n, 784]."""
    images = np.empty((PIXELS, len(columns[0])), kind)
    for place, column in enumerate(columns):
        images[place] = column
    return images.T


def _images(file: str, column: pa.Array, row: int) -> NDArray[np.generic]:
    """Images of a column of bytes, lists or PNGs, as [n, 784]."""
    kind = column.type
    if pa.types.is_struct(kind):
        bodies = [value.get("bytes") or b"" for value in column.to_pylist()]
        return np.array([decode_png(file, body) for body in bodies]).reshape(-1, PIXELS)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    try:
        sizes = (pc.list_value_length if is_list else pc.binary_length)(column).to_numpy()
    except pa.ArrowNotImplementedError:
        expected = f"{PIXELS} pixels an image"
        raise BadFile(file, expected=expected, found=f"the type {kind}") from None
    if len(wrong := np.flatnonzero(sizes != PIXELS)):
        size = f"{sizes[wrong[0]]} in {row + wrong[0]}"
        raise BadFile(file, expected=f"{PIXELS} pixels an image", found=size)
    if is_list:
        return _numbers(file, column.flatten()).reshape(-1, PIXELS)
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, PIXELS)


def _numbers(file: str, column: pa.Array) -> NDArray[np.generic]:
    if not pa.types.is_integer(column.type):
        raise BadFile(file, expected="whole numbers", found=f"the type {column.type}")
    return np.asarray(column.to_numpy(zero_copy_only=False))
