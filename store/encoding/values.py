"""Single published values: categories by name, dates, and gaps with their replacement."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.encoding import tokenizers
from overnight.store.encoding.lookup import numbers_of
from overnight.store.errors import UnencodableValue
from overnight.store.input_encodings import Published, day_number
from overnight.store.schema import NUMPY_TYPES, TensorSpec

Array = NDArray[Any]
_SHOWN_CHARACTERS = 40


def is_missing(value: object) -> bool:
    """Whether a published value is none: None, or NaN."""
    return value is None or value != value  # noqa: PLR0124 - NaN alone differs from itself


def replacement(spec: TensorSpec) -> Published:
    """What stands for a missing value.

    Raises:
        UnencodableValue: none is declared, or learned.
    """
    value = spec.missing.value if spec.missing is not None else None
    if value is None:
        raise UnencodableValue(
            spec.name, None, "a value is missing; declare missing=Missing(value=…) to allow that"
        )
    return value


def texts(spec: TensorSpec, published: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Texts [n, …] as numbers, int32 [n, …, length], and which of them were missing, [n, …]."""
    assert spec.text is not None
    if spec.unlearned:
        raise UnencodableValue(spec.name, None, f"{spec.unlearned}; learn them before encoding")
    flat = published.reshape(-1).tolist()
    encoded = np.zeros((len(flat), spec.text.length), np.int32)
    gaps = np.zeros(len(flat), np.bool_)
    for place, each in enumerate(flat):
        gaps[place] = is_missing(each)
        value = _or_replacement(spec, each, _row(place, published))
        if not isinstance(value, str):
            raise UnencodableValue(
                spec.name, _row(place, published), f"expected a text, not {_shown(value)}"
            )
        tokens = tokenizers.numbers(value, spec.text)
        encoded[place, : len(tokens)] = tokens
    return encoded.reshape(*published.shape, -1), gaps.reshape(published.shape)


def numbers(spec: TensorSpec, published: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Numbers, categories and dates [n, …] in the datatype, and which were missing, [n, …]."""
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    if published.dtype.kind in "OUS":
        return _from_objects(spec, published, dtype)
    if published.dtype.kind != "f":
        # A wider type than declared is what most tables have; its values must fit all the same.
        if published.dtype != dtype and dtype.kind in "iub":
            _check_whole(spec, published)
        return published.astype(dtype, copy=False), np.zeros(published.shape, np.bool_)
    gaps = np.isnan(published)
    if gaps.any() and not spec.nullable:
        row = int(np.argwhere(gaps)[0][0])
        published = np.where(gaps, number_of(spec, _or_replacement(spec, None, row)), published)
    if dtype.kind in "iub":
        _check_whole(spec, published)
    return published.astype(dtype, copy=False), gaps


def number_of(spec: TensorSpec, value: object, row: int | None = None) -> Any:
    """The number of a category's name or a date; a number as it is.

    Raises:
        UnencodableValue: not in the vocabulary, which has no entry for others, or no date.
    """
    if not isinstance(value, str):
        if isinstance(value, int | float | np.number | np.bool_):
            return value
        raise UnencodableValue(spec.name, row, f"expected a number, not {_shown(value)}")
    if spec.date:
        try:
            return day_number(value)
        except ValueError:
            expected = "expected a date such as 2026-11-22"
            raise UnencodableValue(spec.name, row, f"{expected}, not {_shown(value)}") from None
    if not spec.vocabulary:
        raise UnencodableValue(spec.name, row, f"expected a number, not {_shown(value)}")
    index = numbers_of(spec.vocabulary)
    number = index.get(value)
    if number is not None:
        return number
    if not spec.otherwise:
        raise UnencodableValue(
            spec.name,
            row,
            f"{_shown(value)} is not in its vocabulary, and no entry stands for others: "
            "declare `otherwise`",
        )
    return index[spec.otherwise]


def _from_objects(
    spec: TensorSpec, published: Array, dtype: np.dtype[Any]
) -> tuple[Array, NDArray[np.bool_]]:
    flat: Sequence[object] = published.reshape(-1).tolist()
    gaps = np.array([is_missing(value) for value in flat], np.bool_)
    values = []
    for place, value in enumerate(flat):
        if gaps[place] and spec.nullable:
            values.append(np.nan)
            continue
        row = _row(place, published)
        values.append(number_of(spec, _or_replacement(spec, value, row), row))
    encoded = np.array(values) if values else np.zeros(0, dtype)
    if dtype.kind in "iub":
        _check_whole(spec, encoded.reshape(published.shape))
    try:
        narrow = encoded.astype(dtype)
    except OverflowError:
        raise UnencodableValue(spec.name, None, "expected numbers below 1e308") from None
    return narrow.reshape(published.shape), gaps.reshape(published.shape)


def _or_replacement(spec: TensorSpec, value: object, row: int) -> object:
    if not is_missing(value):
        return value
    if spec.missing is None:
        why = "its value is missing; declare missing=Missing(value=…) to allow that"
        raise UnencodableValue(spec.name, row, why)
    return replacement(spec)


def _check_whole(spec: TensorSpec, values: Array) -> None:
    """Check that numbers fit the datatype, and categories the vocabulary."""
    if not values.size or values.dtype.kind == "b":
        return
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if spec.vocabulary:
        low, high = 0, len(spec.vocabulary) - 1
    # The greatest INT64 is rounded up to a number beyond it where it is compared with floats.
    beyond = values >= float(high) + 1 if values.dtype.kind == "f" else values > high
    wrong = (values < low) | beyond | (values % 1 != 0)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        raise UnencodableValue(
            spec.name,
            int(place[0]),
            f"expected a whole number of {low} to {high}, not {values[place]:g}",
        )


def _row(place: int, published: Array) -> int:
    return place // max(1, published.size // max(1, len(published)))


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
