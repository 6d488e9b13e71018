"""Truths of labels, JSON by output, as arrays: what metrics and learning compare with answers."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.models.examples import Array
from overnight.store.schema import Schema, TensorSpec

Mask = NDArray[np.bool_]


def truth_arrays(truths: Sequence[str | None], tensors: Schema) -> tuple[Mask, dict[str, Array]]:
    """Which of n truths are whole, bool [n], and their values by output, [n, …], as labels are.

    Classes are their indices, int64; numbers FP64, one for a forecast whatever its quantiles. The
    outputs are those that any of the truths is of. A truth that lacks one of them, or names a class
    that the schema does not have, is not whole, and its values mean nothing.
    """
    parsed = [_parsed(truth) for truth in truths]
    sent = {name for truth in parsed for name in truth}
    outputs = [spec for spec in tensors.outputs if spec.name in sent]
    whole = np.array([bool(truth) for truth in parsed], np.bool_)
    arrays: dict[str, Array] = {}
    for spec in outputs:
        values = [truth.get(spec.name) for truth in parsed]
        fits, arrays[spec.name] = _of_output(values, spec, tensors.classes(spec.name))
        whole &= fits
    return whole & bool(outputs), arrays


def judged_outputs(tensors: Schema, labelled: Collection[str] = ()) -> list[TensorSpec]:
    """The outputs that an answer is judged by: those with labels, or else the first.

    Clients ask for the outputs that they need, and an answer without an explanation is one too.
    """
    judged = [spec for spec in tensors.outputs if spec.name in labelled]
    return judged or list(tensors.outputs[:1])


def _parsed(truth: str | None) -> dict[str, Any]:
    if truth is None:
        return {}
    try:
        value = json.loads(truth)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _of_output(
    values: Sequence[Any], spec: TensorSpec, classes: Sequence[str]
) -> tuple[Mask, Array]:
    if classes:
        places = {name: place for place, name in enumerate(classes)}
        indices = [places.get(value, -1) if isinstance(value, str) else -1 for value in values]
        index = np.array(indices, np.int64)
        return index >= 0, np.maximum(index, 0)
    is_list = any(isinstance(value, list) for value in values)
    shape = spec.shape if is_list else ()
    numbers = np.full((len(values), *shape), np.nan)
    for place, value in enumerate(values):
        try:
            numbers[place] = _shaped(value, shape)
        except (TypeError, ValueError):
            continue
    fits: Mask = np.isfinite(numbers.reshape(len(values), -1)).all(axis=1)
    return fits, np.nan_to_num(numbers)


def _shaped(value: Any, shape: tuple[int, ...]) -> Array:
    """Numbers of exactly this shape.

    Raises:
        TypeError, ValueError: they are not.
    """
    if value is None or isinstance(value, str | bool):
        raise TypeError(value)
    numbers: Array = np.asarray(value, np.float64)
    if numbers.shape != shape:
        raise ValueError(numbers.shape)
    return numbers
