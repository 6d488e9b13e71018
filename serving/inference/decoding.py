"""Decodes JSON lists, texts and raw bytes to arrays, checked against the schema of the version."""

import math
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.serving.errors import BadInput, LimitExceeded
from overnight.serving.inference import vocabulary
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.validation import Array, check_range, first_wrong, where
from overnight.serving.inference.vocabulary import OutOfVocabulary
from overnight.store.errors import BadPicture, PictureTooLarge
from overnight.store.pictures.reading import read_picture
from overnight.store.schema import NUMPY_TYPES, TensorSpec


def check_rows(n: int, limits: Limits, *, field: str) -> None:
    """Check the number of rows.

    Raises:
        LimitExceeded: with the limit.
    """
    if n > limits.batch_rows:
        expected = f"at most {limits.batch_rows} rows in a request"
        raise LimitExceeded(field, expected=expected, found=f"{n}")


def from_rows(
    spec: TensorSpec, rows: object, *, field: str, unknown: OutOfVocabulary | None = None
) -> Array:
    """Nested lists [n, …] as an array of the tensor's type and shape.

    With `unknown`, texts are allowed where the tensor has a vocabulary or dates, and values out of
    vocabulary are added to it.

    Raises:
        BadInput: naming the field, or the element of it.
    """
    if not isinstance(rows, list) or not rows:
        raise BadInput(field, expected=_expected(spec), found=kind_of(rows))
    image = _image_rows(spec, rows)
    if image is not None:
        return image
    flat: list[Any] = []
    for place, row in enumerate(rows):
        _flatten(spec, row, spec.shape, f"{field}[{place}]", flat)
    if unknown is not None and spec.accepts_text:
        flat = _encoded(spec, flat, len(rows), field=field, unknown=unknown)
    return _checked(spec, flat, len(rows), field=field, nested=True)


def from_flat(spec: TensorSpec, values: object, n: int, *, field: str) -> Array:
    """Read rows given as one flat list in row-major order, or as nested lists.

    Raises:
        BadInput: naming the field, or the element of it.
    """
    if isinstance(values, list) and values and isinstance(values[0], list):
        rows = from_rows(spec, values, field=field)
        if len(rows) != n:
            raise BadInput(field, expected=f"{n} rows, as `shape` says", found=f"{len(rows)}")
        return rows
    count = n * math.prod(spec.shape)
    if not isinstance(values, list) or len(values) != count:
        found = f"{len(values)} numbers" if isinstance(values, list) else kind_of(values)
        raise BadInput(field, expected=f"{count} numbers, as `shape` says", found=found)
    if spec.datatype == "UINT8":
        # `bytes` checks all values in one step; only the slow path can name the wrong element.
        try:
            array = np.frombuffer(bytes(values), np.uint8).reshape(n, *spec.shape)
        except (TypeError, ValueError):
            return _checked(spec, values, n, field=field)
        if _in_range(spec, array):
            return array
    return _checked(spec, values, n, field=field)


def from_texts(
    spec: TensorSpec, texts: object, n: int, *, field: str, unknown: OutOfVocabulary
) -> Array:
    """Read n rows given as texts: a flat list, a nested one, or raw, each after its length.

    Raises:
        BadInput: naming the field, or the element of it.
    """
    count = n * math.prod(spec.shape)
    flat: list[Any] = []
    if isinstance(texts, memoryview):
        flat = list(islice(vocabulary.split(texts, field=field), count + 1))
    elif isinstance(texts, list) and texts and isinstance(texts[0], list):
        for place, row in enumerate(texts):
            _flatten(spec, row, spec.shape, f"{field}[{place}]", flat)
    elif isinstance(texts, list):
        flat = texts
    else:
        raise BadInput(field, expected=f"a list of {count} texts", found=kind_of(texts))
    if len(flat) != count:
        raise BadInput(field, expected=f"{count} texts, as `shape` says", found=f"{len(flat)}")
    for place, text in enumerate(flat):
        if type(text) is not str:
            raise BadInput(f"{field}[{place}]", expected="a text", found=kind_of(text))
    numbers = _encoded(spec, flat, n, field=field, unknown=unknown)
    return _checked(spec, numbers, n, field=field)


def from_raw(spec: TensorSpec, raw: memoryview, n: int, *, field: str) -> Array:
    """Read n rows given as little-endian bytes in row-major order.

    Raises:
        BadInput: there are more or fewer bytes than the shape says, or a value is out of range.
    """
    kind = np.dtype(NUMPY_TYPES[spec.datatype])
    count = n * math.prod(spec.shape) * kind.itemsize
    if len(raw) != count:
        expected = f"{count} bytes, as `shape` and `datatype` say"
        raise BadInput(field, expected=expected, found=f"{len(raw)}")
    # A boolean view of a byte other than 0 or 1 is undefined, so bytes are converted.
    wire = np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("<")
    rows: Array = np.frombuffer(raw, wire).reshape(n, *spec.shape)
    if spec.datatype == "UINT8" and _in_range(spec, rows):
        return rows
    rows = rows.astype(kind)
    check_range(spec, rows, field=field)
    return rows


def from_picture(spec: TensorSpec, body: bytes, limits: Limits, *, field: str) -> NDArray[np.uint8]:
    """Read one row given as a PNG, JPEG or WebP: uint8 in the shape of the tensor.

    Raises:
        LimitExceeded: more pixels than the limit; nothing was decoded.
        BadInput: no picture, damaged, or not of the size and colours of the tensor.
    """
    try:
        return read_picture(body, spec, most_pixels=limits.image_pixels)
    except PictureTooLarge as error:
        raise LimitExceeded(field, expected=error.expected, found=error.found) from None
    except BadPicture as error:
        raise BadInput(field, expected=error.expected, found=error.found) from None


def _image_rows(spec: TensorSpec, rows: list[Any]) -> Array | None:
    """Fast path for images: `bytes` converts and checks a line of numbers in one step.

    None unless the rows are certainly valid; the slow path then decides, and names the element.
    """
    if spec.datatype != "UINT8" or len(spec.shape) != 2:
        return None
    height, width = spec.shape
    try:
        if any(len(row) != height for row in rows):
            return None
        # `bytes` of a number would be that many zeros, so only lists may reach it.
        if any(type(line) is not list for row in rows for line in row):
            return None
        lines = [bytes(line) for row in rows for line in row]
    except (TypeError, ValueError):
        return None
    if any(len(line) != width for line in lines):
        return None
    array = np.frombuffer(b"".join(lines), np.uint8).reshape(len(rows), height, width)
    return array if _in_range(spec, array) else None


def _encoded(
    spec: TensorSpec, flat: list[Any], n: int, *, field: str, unknown: OutOfVocabulary
) -> list[Any]:
    """The values, with texts encoded as numbers."""
    width = max(1, len(flat) // n)
    return [
        vocabulary.number_of(
            spec, value, field=f"{field}[{place}]", unknown=unknown, row=place // width
        )
        if type(value) is str
        else value
        for place, value in enumerate(flat)
    ]


def _in_range(spec: TensorSpec, rows: Array) -> bool:
    """Whether uint8 rows are in range; not compared when the range is that of the type."""
    low, high = spec.minimum or 0, 255 if spec.maximum is None else spec.maximum
    return (low <= 0 and high >= 255) or bool((rows >= low).all() and (rows <= high).all())


def _flatten(
    spec: TensorSpec, value: object, shape: tuple[int, ...], field: str, flat: list[Any]
) -> None:
    if not shape:
        if isinstance(value, list | dict):
            raise BadInput(field, expected="a number", found=kind_of(value))
        flat.append(value)
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise BadInput(field, expected=f"a list of {shape[0]}", found=kind_of(value))
    for place, inner in enumerate(value):
        _flatten(spec, inner, shape[1:], f"{field}[{place}]", flat)


def _checked(
    spec: TensorSpec, flat: list[Any], n: int, *, field: str, nested: bool = False
) -> Array:
    """The values [n, …] in the type of the tensor: whole where it is an integer, and in range.

    Errors name an element by its index in the nested or flat list, as it was sent.
    """
    shape = (n, *spec.shape) if nested else (len(flat),)
    if spec.nullable:
        flat = [math.nan if value is None else value for value in flat]
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    place = _first_of_other_type(flat, {bool} if dtype.kind == "b" else {int, float})
    if place is not None:
        element = f"{field}{where(np.unravel_index(place, shape))}"
        raise BadInput(element, expected=f"{spec.datatype} values", found=kind_of(flat[place]))
    numbers = _numbers(flat, field=field).reshape(shape)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        wrong = (numbers < limits.min) | (numbers > limits.max) | (numbers % 1 != 0)
        if wrong.any():
            expected = f"whole numbers of {limits.min} to {limits.max}"
            raise first_wrong(field, numbers, wrong, expected=expected)
    with np.errstate(over="ignore"):  # overflow gives infinity, which the range check refuses
        narrow = numbers.astype(dtype)
    check_range(spec, narrow, field=field)
    return narrow.reshape(n, *spec.shape)


def _numbers(flat: list[Any], *, field: str) -> Array:
    numbers = np.array(flat)
    # Integers beyond 64 bits become an array of objects.
    if numbers.dtype.kind != "O":
        return numbers
    try:
        return np.array(flat, np.float64)
    except OverflowError:
        raise BadInput(field, expected="numbers below 1e308", found="greater ones") from None


def _first_of_other_type(flat: list[Any], types: set[type]) -> int | None:
    # Exact types: `bool` is a subclass of `int`, but true is no number in JSON.
    if set(map(type, flat)) <= types:
        return None
    return next(place for place, value in enumerate(flat) if type(value) not in types)


def _expected(spec: TensorSpec) -> str:
    shape = " x ".join(str(side) for side in spec.shape) or "single numbers"
    return f"a list of rows, each {shape} of {spec.datatype}"
