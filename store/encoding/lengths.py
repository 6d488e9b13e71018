"""Rows of varying length: joined to encode their elements, and padded to a declared length."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.errors import UnencodableValue
from overnight.store.schema import TensorSpec

Array = NDArray[Any]


def joined(spec: TensorSpec, published: Array) -> tuple[Array, NDArray[np.int32]]:
    """The elements of all rows one after another, [sum, …], and the length of each row, [n].

    `published` is an array of rows, each a list or an array, or rows of one length in one array. A
    row that is missing is one of length 0, where `missing` is declared.

    Raises:
        UnencodableValue: a row is longer than declared, of another shape, or missing.
    """
    inner = spec.shape[1:]
    rows: Sequence[Any] = list(published)
    lengths = np.zeros(len(rows), np.int32)
    parts = []
    for number, row in enumerate(rows):
        if row is None and spec.missing is None:
            why = "its value is missing; declare missing=Missing(value=…) to allow that"
            raise UnencodableValue(spec.name, number, why)
        part = _elements(spec, () if row is None else row, number)
        lengths[number] = len(part)
        parts.append(part)
    mixed = any(part.dtype.kind in "OUS" for part in parts)
    if not any(len(part) for part in parts):
        return np.zeros((0, *inner)), lengths
    full = [part.astype(object) if mixed else part for part in parts if len(part)]
    return np.concatenate(full), lengths


def padded(
    spec: TensorSpec, elements: Array, lengths: NDArray[np.int32], *, filler: float
) -> Array:
    """Elements of all rows [sum, …] as rows of one declared length, [n, length, …]."""
    longest = int(lengths.max(initial=0))
    length = next(each for each in spec.lengths if each >= longest)
    rows = np.full((len(lengths), length, *spec.shape[1:]), filler, elements.dtype)
    rows[np.arange(length) < lengths[:, None]] = elements
    return rows


def _elements(spec: TensorSpec, row: Any, number: int) -> Array:
    """One row as an array [length, …]."""
    inner, longest = spec.shape[1:], spec.lengths[-1]
    if isinstance(row, str | bytes) or not hasattr(row, "__len__"):
        raise UnencodableValue(spec.name, number, "expected a list of values")
    if len(row) > longest:
        raise UnencodableValue(
            spec.name, number, f"has {len(row)} values, at most {longest} are declared"
        )
    if not len(row):
        return np.zeros((0, *inner))
    array = row if isinstance(row, np.ndarray) and row.dtype != object else _array(row, inner)
    if array is None or array.shape[1:] != inner:
        expected = " x ".join(map(str, inner)) or "single values"
        raise UnencodableValue(spec.name, number, f"expected a list of {expected}")
    return array


def _array(row: Any, inner: tuple[int, ...]) -> Array | None:
    """A list, or an array of arrays, as an array; None where its rows are of several shapes."""
    listed = [each.tolist() if isinstance(each, np.ndarray) else each for each in row]
    try:
        # Of objects first: numpy would make texts of numbers beside a text.
        array = np.array(listed, object)
    except ValueError:
        return None
    if array.ndim != len(inner) + 1:
        return None
    plain = all(isinstance(each, int | float) for each in array.reshape(-1).tolist())
    return np.array(listed) if plain else array
