"""Digits as arrays and as rows of a dataset, and their validation."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.store.errors import BadFile

SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10
COLUMNS = pa.schema(
    [
        pa.field("image", pa.binary(PIXELS)),
        pa.field("label", pa.int8()),
        pa.field("digest", pa.string()),
    ]
)


@dataclass(frozen=True)
class Digits:
    """`images`, uint8 [n, 28, 28], white on black 0–255, and `labels`, int8 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int8]


def checked(
    file: str, images: NDArray[np.generic], labels: NDArray[np.generic], *, first_row: int = 0
) -> Digits:
    """Validated digits from integers of any width, as [n, 784], [n, 28, 28] or [n, 28, 28, 1].

    Raises:
        BadFile: naming the first row that is wrong, counted from 0; these begin at `first_row`.
    """
    for name, array in (("images", images), ("labels", labels)):
        if array.dtype.kind not in "iu":
            raise BadFile(file, expected=f"{name} as whole numbers", found=f"{array.dtype}")
    if images.shape[1:] not in {(PIXELS,), (SIDE, SIDE), (SIDE, SIDE, 1)}:
        raise BadFile(
            file, expected=f"images of {SIDE} × {SIDE} pixels", found=f"the shape {images.shape}"
        )
    if labels.shape != (len(images),):
        raise BadFile(
            file,
            expected=f"{len(images):,} labels, one an image",
            found=" × ".join(map(str, labels.shape)),
        )
    _check_range(file, labels, CLASSES - 1, "labels", first_row)
    flat = images.reshape(len(images), PIXELS)
    if images.dtype != np.uint8:
        _check_range(file, flat, 255, "pixels", first_row)
    return Digits(flat.astype(np.uint8).reshape(-1, SIDE, SIDE), labels.astype(np.int8))


def _check_range(
    file: str, values: NDArray[np.generic], highest: int, what: str, first_row: int
) -> None:
    wrong = np.argwhere((values < 0) | (values > highest))  # type: ignore[operator]
    if len(wrong):
        first = tuple(wrong[0])
        where = f"{values[first]} in row {first_row + first[0]}"
        raise BadFile(file, expected=f"{what} from 0 to {highest}", found=where)


def as_rows(digits: Digits) -> pa.Table:
    """Rows in the source's columns; `digest` is the sha256 of the 784 pixels."""
    body = np.ascontiguousarray(digits.images).tobytes()
    view = memoryview(body)
    digests = [
        hashlib.sha256(view[start : start + PIXELS]).hexdigest()
        for start in range(0, len(body), PIXELS)
    ]
    # From the buffer as it is: 60,000 Python objects would take seconds.
    images = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(PIXELS), len(digests), [None, pa.py_buffer(body)]
    )
    columns = [images, pa.array(digits.labels, pa.int8()), pa.array(digests, pa.string())]
    return pa.table(columns, schema=COLUMNS)


def labelled_rows(
    inputs: Mapping[str, NDArray[np.generic]], truths: Mapping[str, NDArray[np.generic]]
) -> pa.Table:
    """Rows of answered images [n, 28, 28] and their true digits [n]."""
    (labels,) = truths.values()
    return as_rows(checked("labels of answers", inputs["image"], labels))


def images_of(rows: pa.Table) -> NDArray[np.uint8]:
    """The images of rows, uint8 [n, 28, 28], from binary columns of fixed or variable size.

    Raises:
        ValueError: an image is missing or not of 784 bytes, naming its row.
    """
    column = rows.column("image")
    sizes = pc.fill_null(pc.binary_length(column), 0).to_numpy()
    if len(wrong := np.flatnonzero(sizes != PIXELS)):
        raise ValueError(
            f"images of {PIXELS} bytes were expected; {len(wrong):,} are not, "
            f"the first, row {wrong[0]}, has {sizes[wrong[0]]}"
        )
    # A chunk may be a slice of a larger buffer; concatenated by itself it begins at 0.
    parts = [
        np.frombuffer(chunk.cast(pa.binary(PIXELS)).buffers()[1], np.uint8)
        for chunk in (pa.concat_arrays([chunk]) for chunk in column.chunks if len(chunk))
    ]
    joined = np.concatenate(parts) if parts else np.zeros(0, np.uint8)
    return joined.reshape(-1, SIDE, SIDE)
