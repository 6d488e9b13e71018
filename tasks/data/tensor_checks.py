"""Compares published values, as a model's `examples` give them, with the declared tensors."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.encoding.lengths import joined
from overnight.store.encoding.values import is_missing, numbers
from overnight.store.errors import UnencodableValue
from overnight.store.schema import NUMPY_TYPES, TensorSpec

Array = NDArray[Any]
_OBJECTS = "OUS"
_ALL_MISSING = "expected values, found that all are missing"


def tensor_mismatch(array: Array | None, spec: TensorSpec) -> str:
    """How an array of published values [n, …] differs from its declaration; empty if it does not.

    Texts and names are compared with vocabularies only once those are learned.
    """
    if array is None:
        return "" if spec.default is not None else "no such tensor in the rows"
    try:
        if spec.lengths:
            return _elements_mismatch(joined(spec, array)[0], spec)
        if array.shape[1:] != spec.shape:
            return f"expected rows of shape {list(spec.shape)}, found {list(array.shape[1:])}"
        return _elements_mismatch(array, spec) if array.size else ""
    except UnencodableValue as error:
        return str(error) if error.row is None else f"row {error.row + 1}: {error.why}"


def missing_share(array: Array) -> float:
    """The share of published values that are missing, from 0 to 1; of lists, of whole rows."""
    return float(_gaps(array).mean()) if array.size else 0.0


def _elements_mismatch(array: Array, spec: TensorSpec) -> str:
    """How values in any shape differ from the declaration of one.

    Raises:
        UnencodableValue: one of them is none of the declared kind.
    """
    if spec.text is not None:
        return _text_mismatch(array, spec)
    expected = NUMPY_TYPES[spec.datatype]
    if not _is_of_kind(array, spec):
        return f"expected {expected}, found {array.dtype}"
    gaps = _gaps(array)
    if gaps.any() and not spec.accepts_missing:
        row = int(np.argwhere(gaps)[0][0]) + 1
        return (
            f"expected finite values, found that {int(gaps.sum()):,} are missing, the first in row "
            f"{row}; declare missing=Missing(value=…) to allow that"
        )
    values = array[~gaps]
    if not len(values):
        # Rows of a holdout, and lists, may well have none where a default replaces them.
        return _ALL_MISSING if spec.nullable and array.size else ""
    if _is_unlearned(spec, values):
        return ""
    return _out_of_range(numbers(spec, values)[0], spec)


def _is_of_kind(array: Array, spec: TensorSpec) -> bool:
    """Whether the array has the declared kind, of whatever width: tables have other widths."""
    kind, declared = array.dtype.kind, np.dtype(NUMPY_TYPES[spec.datatype]).kind
    # Whole numbers with gaps are floats, because only those have NaN.
    with_gaps = kind == "f" and spec.accepts_missing
    # Lists have no type of their own.
    is_listed = kind in "iu" and bool(spec.lengths)
    return (
        kind in _OBJECTS
        or with_gaps
        or is_listed
        or (kind in "iu" if declared in "iu" else kind == declared)
    )


def _gaps(array: Array) -> NDArray[np.bool_]:
    """Where values are missing, in the shape of the array."""
    if array.dtype.kind == "f":
        return np.isnan(array)
    if array.dtype.kind not in _OBJECTS:
        return np.zeros(array.shape, np.bool_)
    return np.array([is_missing(each) for each in array.reshape(-1).tolist()], np.bool_).reshape(
        array.shape
    )


def _text_mismatch(array: Array, spec: TensorSpec) -> str:
    for place, value in enumerate(array.reshape(-1).tolist()):
        if not (isinstance(value, str) or (is_missing(value) and spec.missing is not None)):
            expected = "texts or None" if spec.missing is not None else "texts"
            return f"expected {expected}, found {value!r} in row {place + 1}"
    return ""


def _is_unlearned(spec: TensorSpec, values: Array) -> bool:
    """Whether they are names of a vocabulary that is not learned yet."""
    is_number = not (spec.vocabulary or spec.date) and spec.datatype.startswith(("INT", "UINT"))
    return is_number and values.dtype.kind in _OBJECTS and isinstance(values[0], str)


def _out_of_range(values: Array, spec: TensorSpec) -> str:
    """How values leave their declared range; empty if they do not."""
    lowest, highest = float(values.min()), float(values.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        return f"expected finite values, found {lowest} and {highest}"
    minimum = -math.inf if spec.minimum is None else spec.minimum
    maximum = math.inf if spec.maximum is None else spec.maximum
    if lowest < minimum or highest > maximum:
        return f"expected values from {minimum:g} to {maximum:g}, found {lowest:g} to {highest:g}"
    return ""
