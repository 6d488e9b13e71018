"""Decodes JSON lists, texts and raw bytes to arrays, checked against the schema of the version."""

import math
from types import NoneType
from typing import Any

import numpy as np

from overnight.serving.errors import BadInput, LimitExceeded
from overnight.serving.inference import pictures, texts, vocabulary
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Allowance, Limits
from overnight.serving.inference.validation import Array, check_range, first_wrong, where
from overnight.serving.inference.vocabulary import OutOfVocabulary
from overnight.store.schema import NUMPY_TYPES, TensorSpec

# Types of raw values: little-endian, and of booleans bytes, which are converted, because a boolean
# view of a byte other than 0 or 1 is undefined. Made once: numpy makes a new object of a type with
# a byte order each time.
_RAW = {
    datatype: np.dtype("u1" if name == "bool" else np.dtype(name).newbyteorder("<").str)
    for datatype, name in NUMPY_TYPES.items()
    if name != "object"
}


def check_rows(n: int, limits: Limits, *, field: str) -> None:
    """Check the number of rows.

    Raises:
        LimitExceeded: with the limit.
    """
    if n > limits.batch_rows:
        expected = f"at most {limits.batch_rows} rows in a request"
        raise LimitExceeded(field, expected=expected, found=f"{n}")


def from_rows(
    spec: TensorSpec,
    rows: object,
    *,
    field: str,
    unknown: OutOfVocabulary | None = None,
    allowance: Allowance | None = None,
) -> Array:
    """Nested lists [n, …] as an array of published values in the tensor's type and shape.

    With `unknown`, texts are allowed where the tensor has a vocabulary or dates, and values out of
    vocabulary are added to it. A row of a tensor of texts has texts, one of pictures may be
    `{"b64": …}`, and one of varying length may be shorter than the shape.

    Raises:
        BadInput: naming the field, or the element of it.
        LimitExceeded: texts or pictures over what `allowance` has left.
    """
    if not isinstance(rows, list) or not rows:
        raise BadInput(field, expected=_expected(spec), found=kind_of(rows))
    allowance = allowance or Allowance(Limits())
    image = _image_rows(spec, rows, allowance)
    if image is not None:
        return image
    if spec.takes_pictures and any(pictures.is_base64(row) for row in rows):
        return pictures.rows_of(spec, rows, allowance, field=field)
    if spec.lengths:
        return _of_lengths(spec, rows, field=field, unknown=unknown)
    flat: list[Any] = []
    for place, row in enumerate(rows):
        _flatten(spec, row, spec.shape, f"{field}[{place}]", flat)
    if spec.text is not None:
        return texts.read(spec, flat, len(rows), allowance, field=field, nested=True)
    if unknown is not None and spec.accepts_text:
        flat = _encoded(spec, flat, len(rows), field=field, unknown=unknown)
    return _checked(spec, flat, (len(rows), *spec.shape), field=field, nested=True)


def from_flat(
    spec: TensorSpec,
    values: object,
    shape: tuple[int, ...],
    *,
    field: str,
    unknown: OutOfVocabulary | None = None,
    allowance: Allowance | None = None,
) -> Array:
    """Read rows of a `shape` [n, …] given as one flat list in row-major order, or as nested lists.

    With `unknown`, texts are allowed as for `from_rows`.

    Raises:
        BadInput: naming the field, or the element of it.
        LimitExceeded: as `from_rows`.
    """
    n = shape[0]
    if isinstance(values, list) and values and _is_nested(spec, values[0]):
        rows = from_rows(spec, values, field=field, unknown=unknown, allowance=allowance)
        if len(rows) != n:
            raise BadInput(field, expected=f"{n} rows, as `shape` says", found=f"{len(rows)}")
        return rows
    count = math.prod(shape)
    if count < 0:
        raise BadInput(field, expected=f"{n} lists, one a row", found=kind_of(values))
    if not isinstance(values, list) or len(values) != count:
        found = f"{len(values)} numbers" if isinstance(values, list) else kind_of(values)
        raise BadInput(field, expected=f"{count} numbers, as `shape` says", found=found)
    if unknown is not None and spec.accepts_text:
        values = _encoded(spec, values, n, field=field, unknown=unknown)
    if spec.datatype == "UINT8" and not _has_flags(values, allowance):
        # `bytes` checks all values in one step; only the slow path can name the wrong element.
        try:
            array = np.frombuffer(bytes(values), np.uint8).reshape(shape)
        except (TypeError, ValueError):
            return _checked(spec, values, shape, field=field)
        if _in_range(spec, array):
            return array
    return _checked(spec, values, shape, field=field)


def from_texts(
    spec: TensorSpec,
    values: object,
    n: int,
    *,
    field: str,
    unknown: OutOfVocabulary,
    allowance: Allowance | None = None,
) -> Array:
    """Read n rows given as texts: a flat list, a nested one, or raw, each after its length.

    A text of a tensor of pictures is a picture: as its bytes where it is raw, else as base64.

    Raises:
        BadInput: naming the field, or the element of it.
        LimitExceeded: texts or pictures over what `allowance` has left.
    """
    allowance = allowance or Allowance(Limits())
    if spec.takes_pictures:
        return pictures.rows_of(spec, _bodies(values, n, field=field), allowance, field=field)
    nested = False
    if isinstance(values, list) and values and isinstance(values[0], list):
        nested, rows, values = True, values, []
        for place, row in enumerate(rows):
            _flatten(spec, row, spec.shape, f"{field}[{place}]", values)
    flat = texts.flat_texts(values, texts.count_of(spec, n), field=field)
    if spec.text is not None:
        return texts.read(spec, flat, n, allowance, field=field, nested=nested)
    for place, text in enumerate(flat):
        if type(text) is not str and not (text is None and spec.accepts_missing):
            raise BadInput(f"{field}[{place}]", expected="a text", found=kind_of(text))
    numbers = _encoded(spec, flat, n, field=field, unknown=unknown)
    return _checked(spec, numbers, (n, *spec.shape), field=field)


def from_raw(spec: TensorSpec, raw: memoryview, shape: tuple[int, ...], *, field: str) -> Array:
    """Read rows of a `shape` [n, …] given as little-endian bytes in row-major order.

    Raises:
        BadInput: there are more or fewer bytes than the shape says, or a value is out of range.
    """
    kind = np.dtype(NUMPY_TYPES[spec.datatype])
    count = math.prod(shape) * kind.itemsize
    if len(raw) != count:
        expected = f"{count} bytes, as `shape` and `datatype` say"
        raise BadInput(field, expected=expected, found=f"{len(raw)}")
    rows: Array = np.frombuffer(raw, _RAW[spec.datatype]).reshape(shape)
    if spec.datatype == "UINT8" and _in_range(spec, rows):
        return rows
    rows = rows.astype(kind)
    check_range(spec, rows, field=field)
    return rows


def _is_nested(spec: TensorSpec, first: object) -> bool:
    """Whether a list has a row in each element; of those of varying length one may be missing."""
    return isinstance(first, list) or (first is None and bool(spec.lengths))


def _has_flags(values: list[Any], allowance: Allowance | None) -> bool:
    """Whether true or false is among the values, which `bytes` would take for 1 and 0."""
    return (allowance is None or allowance.has_flags) and bool in set(map(type, values))


def _image_rows(spec: TensorSpec, rows: list[Any], allowance: Allowance) -> Array | None:
    """Fast path for images: `bytes` converts and checks a line of numbers in one step.

    None unless the rows are certainly valid; the slow path then decides, and names the element.
    """
    if spec.datatype != "UINT8" or len(spec.shape) != 2:
        return None
    height, width = spec.shape
    try:
        if any(len(row) != height for row in rows):
            return None
        lists = [line for row in rows for line in row]
        # `bytes` of a number would be that many zeros, so only lists may reach it.
        if any(type(line) is not list for line in lists):
            return None
        lines = [bytes(line) for line in lists]
    except (TypeError, ValueError):
        return None
    has_flags = allowance.has_flags and any(bool in set(map(type, line)) for line in lists)
    if has_flags or any(len(line) != width for line in lines):
        return None
    array = np.frombuffer(b"".join(lines), np.uint8).reshape(len(rows), height, width)
    return array if _in_range(spec, array) else None


def _bodies(values: object, n: int, *, field: str) -> list[Any]:
    """Pictures of n rows: raw ones as bytes, or a list with one base64 text a row."""
    if isinstance(values, memoryview):
        bodies: list[Any] = []
        for body in vocabulary.split_raw(values, field=field):
            bodies.append(bytes(body))
            if len(bodies) > n:
                break
    elif isinstance(values, list):
        # Of the shape [n, 1], each may be in a list of its own.
        bodies = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in values]
    else:
        raise BadInput(field, expected=f"a list of {n} pictures in base64", found=kind_of(values))
    if len(bodies) != n:
        raise BadInput(field, expected=f"{n} pictures, as `shape` says", found=f"{len(bodies)}")
    return bodies


def _of_lengths(
    spec: TensorSpec, rows: list[Any], *, field: str, unknown: OutOfVocabulary | None
) -> Array:
    """Rows of varying length as an array of n arrays, each [length, …]; None is a missing row."""
    arrays = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        named = f"{field}[{place}]"
        if row is None and spec.missing is not None:
            continue
        if not isinstance(row, list) or len(row) > spec.shape[0]:
            expected = f"a list of at most {spec.shape[0]}"
            raise BadInput(named, expected=expected, found=kind_of(row))
        flat: list[Any] = []
        shape = (len(row), *spec.shape[1:])
        _flatten(spec, row, shape, named, flat)
        if unknown is not None and spec.accepts_text:
            flat = _encoded(spec, flat, 1, field=named, unknown=unknown, row=place)
        arrays[place] = _checked(spec, flat, shape, field=named, nested=True)
    return arrays


def _encoded(
    spec: TensorSpec,
    flat: list[Any],
    n: int,
    *,
    field: str,
    unknown: OutOfVocabulary,
    row: int = 0,
) -> list[Any]:
    """The values of n rows from `row` on, with texts encoded as numbers."""
    width = max(1, len(flat) // n)
    return [
        vocabulary.number_of(
            spec, value, field=f"{field}[{place}]", unknown=unknown, row=row + place // width
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
        is_text = spec.text is not None
        if isinstance(value, list | dict) and not (is_text and pictures.is_base64(value)):
            expected = "a text" if is_text else "a number"
            raise BadInput(field, expected=expected, found=kind_of(value))
        flat.append(value)
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise BadInput(field, expected=f"a list of {shape[0]}", found=kind_of(value))
    for place, inner in enumerate(value):
        _flatten(spec, inner, shape[1:], f"{field}[{place}]", flat)


def _checked(
    spec: TensorSpec, flat: list[Any], shape: tuple[int, ...], *, field: str, nested: bool = False
) -> Array:
    """The values in the type of the tensor and the `shape` [n, …]: whole if integers, in range.

    A missing one is NaN, and so integers with a missing one among them are FP64. Errors name an
    element by its index in the nested or flat list, as it was sent.
    """
    named = shape if nested else (len(flat),)
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    types: set[type] = {bool} if dtype.kind == "b" else {int, float}
    place = _first_of_other_type(flat, types | {NoneType} if spec.accepts_missing else types)
    if place is not None:
        element = f"{field}{where(np.unravel_index(place, named))}"
        raise BadInput(element, expected=f"{spec.datatype} values", found=kind_of(flat[place]))
    if spec.accepts_missing and None in flat:
        flat = [math.nan if value is None else value for value in flat]
        dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    numbers = _numbers(flat, field=field).reshape(named)
    if "INT" in spec.datatype:
        limits = np.iinfo(NUMPY_TYPES[spec.datatype])
        # The greatest INT64 is rounded up to a number beyond it where it is compared with floats.
        beyond = numbers >= 2.0 ** int(limits.max).bit_length()
        with np.errstate(invalid="ignore"):  # infinity has no remainder: NaN, which is not 0
            wrong = (numbers < limits.min) | beyond | (numbers % 1 != 0)
        if numbers.dtype.kind == "f" and spec.accepts_missing:
            wrong &= ~np.isnan(numbers)
        if wrong.any():
            expected = f"whole numbers of {limits.min} to {limits.max}"
            raise first_wrong(field, numbers, wrong, expected=expected)
    with np.errstate(over="ignore"):  # overflow gives infinity, which the range check refuses
        narrow = numbers.astype(dtype)
    check_range(spec, narrow, field=field)
    return narrow.reshape(shape)


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
