"""Columns of rows as the published inputs of a version, checked as serving checks requests.

Whole columns are converted at once; a row that cannot be scored gets a reason, and costs no other.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overnight.store.encoding.arrays import objects
from overnight.store.errors import BadFile, BadPicture, PictureTooLarge
from overnight.store.input_encodings import day_number
from overnight.store.pictures.reading import read_picture
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec

Array = NDArray[Any]
Mask = NDArray[np.bool_]
# From the place of a value among all of a column to its row.
RowOf = Callable[[int], int]
_TRUE, _FALSE = pa.array(["true", "1", "yes"]), pa.array(["false", "0", "no"])
_SHOWN = 60


@dataclass
class Rejections:
    """Why rows of a batch cannot be scored: the first reason of each, by its place."""

    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, spec: TensorSpec, row: int, expected: str, value: object) -> None:
        shown = f"{value}"[:_SHOWN]
        self.reasons.setdefault(row, f"{spec.name}: expected {expected}, found {shown}")

    def add_where(
        self, spec: TensorSpec, wrong: Mask, row_of: RowOf, expected: str, values: Array
    ) -> None:
        """Reject the rows of those values that are `wrong`."""
        for place in np.flatnonzero(wrong).tolist():
            self.add(spec, row_of(place), expected, values[place])


def input_columns(schema: Schema, columns: pa.Schema, what: str) -> dict[str, str]:
    """The column of each input that has one: of its name, or `input.` and its name.

    Raises:
        BadFile: an input without a default has none, or one has a type that cannot be its values.
    """
    chosen, absent = {}, []
    for spec in schema.inputs:
        name = next((n for n in (spec.name, f"input.{spec.name}") if n in columns.names), None)
        if name is not None:
            _check_type(spec, columns.field(name).type, what)
            chosen[spec.name] = name
        elif spec.default is None:
            absent.append(spec.name)
    if absent:
        near = get_close_matches(absent[0], columns.names, 1)
        hint = f" (is it {near[0]}?)" if near else ""
        raise BadFile(
            what,
            expected=f"a column for each of {', '.join(spec.name for spec in schema.inputs)}",
            found=f"no {', '.join(absent)}{hint} among {', '.join(columns.names[:20]) or 'none'}",
        )
    return chosen


def published(
    schema: Schema, rows: pa.RecordBatch, columns: Mapping[str, str]
) -> tuple[dict[str, Array], dict[int, str]]:
    """The inputs of n rows by name, [n, …] each, and why some of these rows cannot be scored.

    What rejected rows have is undefined.
    """
    rejections = Rejections()
    inputs = {
        spec.name: _values(spec, _plain(rows.column(columns[spec.name])), rejections)
        for spec in schema.inputs
        if spec.name in columns
    }
    return inputs, rejections.reasons


def _check_type(spec: TensorSpec, kind: pa.DataType, what: str) -> None:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    depth = 0
    while _is_list(kind):
        kind, depth = kind.value_type, depth + 1
    is_text = _is_text(kind)
    fits = (is_text and (not depth or spec.accepts_text)) or pa.types.is_null(kind)
    if not fits and spec.text is None:
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        number |= pa.types.is_decimal(kind)
        fits = number or (spec.datatype == "BOOL" and pa.types.is_boolean(kind))
        fits |= spec.date and (pa.types.is_date(kind) or pa.types.is_timestamp(kind))
    fits &= depth == 0 if not spec.shape else depth in {1, len(spec.shape)} or is_text
    if not (fits or (spec.takes_pictures and is_bytes)):
        expected = f"{spec.name} as {'texts' if spec.text else spec.datatype} {list(spec.shape)}"
        raise BadFile(what, expected=expected, found=f"{'lists of ' * depth}{kind}")


def _values(spec: TensorSpec, column: pa.Array, rejections: Rejections) -> Array:
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return _pictures(spec, column, rejections)
    if spec.shape and not _is_list(column.type):
        column = _parsed_lists(spec, column, rejections)
    if spec.lengths:
        return _of_lengths(spec, column, rejections)
    if spec.shape:
        return _tensors(spec, column, rejections)
    return _elements(spec, column, lambda place: place, rejections)


def _tensors(spec: TensorSpec, column: pa.Array, rejections: Rejections) -> Array:
    """Lists as rows of the declared shape: nested as it is, or flat in C order."""
    size = int(np.prod(spec.shape, dtype=np.int64))
    shape = spec.shape if _is_list(column.type.value_type) else (size,)
    fits = _that_fit(column, shape)
    for row in np.flatnonzero(~fits).tolist():
        if row not in rejections.reasons:
            rejections.add(spec, row, f"{_shown(spec.shape)} values", _count(column[row]))
    rows = np.flatnonzero(fits)
    if len(rows) < len(column):
        column = column.filter(pa.array(fits))
    flat = _flattened(column)
    values = _elements(spec, flat, lambda place: int(rows[place // size]), rejections)
    values = values.reshape(-1, *spec.shape)
    if len(rows) == len(fits):
        return values
    whole = np.zeros((len(fits), *spec.shape), values.dtype)
    whole[rows] = values
    return whole


def _of_lengths(spec: TensorSpec, column: pa.Array, rejections: Rejections) -> Array:
    """Rows of varying length as an array of arrays; None is one that is missing."""
    rows = objects([None] * len(column), len(column))
    inner = spec.shape[1:]
    for row, value in enumerate(column):
        if not value.is_valid:
            if spec.missing is None and row not in rejections.reasons:
                rejections.add(spec, row, "a list", "no value")
            continue
        part = value.values
        fits = len(part) <= spec.shape[0] and (not inner or bool(_that_fit(part, inner).all()))
        if not fits:
            rejections.add(spec, row, f"at most {_shown(spec.shape)} values", _count(value))
            continue
        flat = _elements(spec, _flattened(part), lambda _, row=row: row, rejections)  # type: ignore[misc]
        rows[row] = flat.reshape(-1, *inner)
    return rows


def _that_fit(column: pa.Array, shape: tuple[int, ...]) -> Mask:
    """Which of n nested lists have exactly a shape, bool [n]."""
    fits = np.array(pc.fill_null(pc.equal(pc.list_value_length(column), shape[0]), False))
    if len(shape) > 1 and shape[0]:
        inner = column.filter(pa.array(fits)).flatten()
        fits[fits] = _that_fit(inner, shape[1:]).reshape(-1, shape[0]).all(axis=1)
    return fits


def _flattened(column: pa.Array) -> pa.Array:
    while _is_list(column.type):
        column = column.flatten()
    return column


def _parsed_lists(spec: TensorSpec, column: pa.Array, rejections: Rejections) -> pa.Array:
    """Cells of text such as `[1, 2]` as lists."""
    kind = pa.string() if spec.accepts_text else pa.float64()
    for _ in spec.shape:
        kind = pa.list_(kind)
    lists: list[Any] = []
    for row, cell in enumerate(column.to_pylist()):
        parsed = None
        try:
            parsed = None if not cell else json.loads(cell)
            if parsed is not None and parsed and not isinstance(parsed[0], list):
                parsed = np.array(parsed, object).reshape(_open(spec)).tolist()
            pa.array([parsed], kind)
        except (ValueError, TypeError, KeyError, pa.ArrowException):
            rejections.add(spec, row, f"a list of {_shown(spec.shape)} values", repr(cell))
            parsed = None
        else:
            if parsed is None and not (spec.lengths and spec.missing is not None):
                rejections.add(spec, row, f"a list of {_shown(spec.shape)} values", "no value")
        lists.append(parsed)
    return pa.array(lists, kind)


def _open(spec: TensorSpec) -> tuple[int, ...]:
    return (-1, *spec.shape[1:])


def _pictures(spec: TensorSpec, column: pa.Array, rejections: Rejections) -> Array:
    whole = np.zeros((len(column), *spec.shape), np.uint8)
    for row, body in enumerate(column.to_pylist()):
        if body is None:
            rejections.add(spec, row, "a picture", "no value")
            continue
        try:
            whole[row] = read_picture(body, spec)
        except (BadPicture, PictureTooLarge) as error:
            rejections.add(spec, row, error.expected, error.found)
    return whole


def _elements(spec: TensorSpec, flat: pa.Array, row_of: RowOf, rejections: Rejections) -> Array:
    """Single values of an input, [len(flat)], in its type; a missing one is NaN, or None."""
    if pa.types.is_null(flat.type):
        flat = flat.cast(pa.string())
    if spec.text is not None:
        texts: Array = flat.to_numpy(zero_copy_only=False)
        if not spec.accepts_missing:
            gaps = np.asarray(flat.is_null())
            rejections.add_where(spec, gaps, row_of, "a text", texts)
        return texts.astype(object)
    if _is_text(flat.type):
        flat = _parsed(spec, flat, row_of, rejections)
    elif pa.types.is_date(flat.type) or pa.types.is_timestamp(flat.type):
        flat = flat.cast(pa.date32(), safe=False).cast(pa.int32())
    elif pa.types.is_decimal(flat.type):
        flat = flat.cast(pa.float64())
    return _numbers(spec, flat, row_of, rejections)


def _parsed(spec: TensorSpec, flat: pa.Array, row_of: RowOf, rejections: Rejections) -> pa.Array:
    """Texts as numbers: of categories, dates, flags, or as they are written."""
    if spec.vocabulary:
        return _categories(spec, flat, row_of, rejections)
    trimmed = pc.utf8_trim_whitespace(flat)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)
    if spec.datatype == "BOOL":
        lower = pc.utf8_lower(trimmed)
        yes, no = pc.is_in(lower, value_set=_TRUE), pc.is_in(lower, value_set=_FALSE)
        wrong = np.asarray(pc.and_(pc.is_valid(lower), pc.invert(pc.or_(yes, no))))
        rejections.add_where(spec, wrong, row_of, "true or false", _listed(flat))
        return pc.if_else(pc.is_valid(lower), yes, pa.scalar(None, pa.bool_()))
    kind = pa.date32() if spec.date else pa.float64()
    if not spec.date and "INT" in spec.datatype:
        kind = pa.int64()
    try:
        parsed = trimmed.cast(kind)
    except pa.ArrowInvalid:
        parsed = _parsed_one_by_one(spec, trimmed, kind, row_of, rejections)
    return parsed.cast(pa.int32()) if spec.date else parsed


def _parsed_one_by_one(
    spec: TensorSpec, texts: pa.Array, kind: pa.DataType, row_of: RowOf, rejections: Rejections
) -> pa.Array:
    expected = "a date such as 2026-11-22" if spec.date else f"{spec.datatype} values"
    values: list[Any] = []
    for place, text in enumerate(texts.to_pylist()):
        value = None
        try:
            if text is not None:
                value = day_number(text) if spec.date else float(text)
                value = int(value) if value % 1 == 0 and kind != pa.float64() else value
                # A fraction where whole numbers are expected.
                pa.scalar(value, pa.int32() if spec.date else kind)
        except (ValueError, OverflowError, pa.ArrowException):
            rejections.add(spec, row_of(place), expected, repr(text))
            value = 0
        values.append(value)
    return pa.array(values, pa.int32() if spec.date else kind).cast(kind)


def _categories(
    spec: TensorSpec, flat: pa.Array, row_of: RowOf, rejections: Rejections
) -> pa.Array:
    """The numbers of names; a name that is not in the vocabulary is its entry for others."""
    # An empty cell is a gap, unless there is a category of this name.
    if "" not in spec.vocabulary:
        flat = pc.if_else(pc.equal(flat, ""), pa.scalar(None, flat.type), flat)
    entries = pa.array(spec.vocabulary, flat.type)
    numbers = pc.index_in(flat, value_set=entries)
    strange = np.asarray(pc.and_(pc.is_valid(flat), pc.is_null(numbers)))
    if strange.any() and spec.otherwise:
        other = pa.scalar(spec.vocabulary.index(spec.otherwise), numbers.type)
        return pc.if_else(pa.array(strange), other, numbers)
    few = ", ".join(repr(entry) for entry in spec.vocabulary[:12])
    more = ", …" if len(spec.vocabulary) > 12 else ""
    rejections.add_where(spec, strange, row_of, f"one of {few}{more}", _listed(flat))
    return pc.if_else(pa.array(strange), pa.scalar(0, numbers.type), numbers)


def _numbers(spec: TensorSpec, flat: pa.Array, row_of: RowOf, rejections: Rejections) -> Array:
    """Numbers within the range of the schema, in its type; where some are missing, as floats."""
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    missing = np.zeros(len(flat), np.bool_)
    if flat.null_count:
        missing = np.array(flat.is_null())
        flat = flat.fill_null(False if pa.types.is_boolean(flat.type) else 0)
    values: Array = flat.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f" and (gaps := np.isnan(values)).any():
        missing |= gaps
        values = np.where(missing, 0, values)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            # Overflow gives infinity, which is rejected.
            values = values.astype(dtype, copy=False)
    _check_range(spec, values, missing, row_of, rejections)
    if missing.any():
        if spec.accepts_missing:
            values = values.astype(dtype if dtype.kind == "f" else np.float64)
            values[missing] = np.nan
            return values
        filler = spec.default if isinstance(spec.default, int | float) else None
        if filler is None or spec.shape:
            rejections.add_where(spec, missing, row_of, "a value", np.full(len(values), "none"))
        else:
            values = np.where(missing, filler, values)
    with np.errstate(invalid="ignore"):
        return values.astype(dtype, copy=False)


def _check_range(
    spec: TensorSpec, values: Array, missing: Mask, row_of: RowOf, rejections: Rejections
) -> None:
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        if not finite.all():
            rejections.add_where(spec, ~finite, row_of, "finite numbers", values)
    low, high = spec.minimum, spec.maximum
    if dtype.kind in "iub" and values.dtype.kind != "b":
        limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if values.dtype != dtype:
            beyond = (
                values >= float(limits[1]) + 1 if values.dtype.kind == "f" else values > limits[1]
            )
            with np.errstate(invalid="ignore"):
                wrong = (values < limits[0]) | beyond | (values % 1 != 0)
            expected = f"whole numbers of {limits[0]} to {limits[1]}"
            if wrong.any():
                rejections.add_where(spec, wrong & ~missing, row_of, expected, values)
        low = None if low is not None and low <= limits[0] else low
        high = None if high is not None and high >= limits[1] else high
    if low is not None and (wrong := (values < low) & ~missing).any():
        rejections.add_where(spec, wrong, row_of, f"numbers of at least {low:g}", values)
    if high is not None and (wrong := (values > high) & ~missing).any():
        rejections.add_where(spec, wrong, row_of, f"numbers of at most {high:g}", values)


def _plain(column: pa.Array) -> pa.Array:
    """A column without dictionary and extension type."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_list(kind: pa.DataType) -> bool:
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(kind) for check in checks)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _listed(flat: pa.Array) -> Array:
    values: Array = flat.to_numpy(zero_copy_only=False)
    return values


def _count(value: pa.Scalar) -> str:
    if not value.is_valid:
        return "no value"
    return f"{len(value.values):,}"


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
