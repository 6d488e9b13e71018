"""What drift is measured of besides a model's own statistics: categories and gaps of its inputs."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.encoding.values import is_missing
from overnight.store.schema import Schema, TensorSpec

Array = NDArray[Any]
_NONE = "(missing)"


def input_categories(inputs: Mapping[str, Array], tensors: Schema) -> Iterator[tuple[str, Array]]:
    """Categories of n rows by name, [n] each, from published values [n, …] by input.

    For each input with a vocabulary the names, and for each that may have gaps whether it has one,
    as `<name> is missing`.
    """
    for spec in tensors.inputs:
        array = inputs.get(spec.name)
        if array is None or spec.shape:
            continue
        if spec.vocabulary:
            yield spec.name, np.array([_name(spec, each) for each in array.tolist()], np.str_)
        if spec.accepts_missing:
            gaps = [is_missing(each) for each in array.tolist()]
            yield f"{spec.name} is missing", np.array(gaps, np.int64)


def _name(spec: TensorSpec, value: Any) -> str:
    """The category's name, whether it is published by name or by number."""
    if is_missing(value):
        return _NONE
    if isinstance(value, str):
        return value
    known = 0 <= value < len(spec.vocabulary)
    return spec.vocabulary[int(value)] if known else str(value)
