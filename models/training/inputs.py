"""Input layers that follow from a schema, and the row of numbers that most networks begin with.

Imported by networks only, in the training process: it imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
from keras import ops

from overnight.store.encoding import network_inputs
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec


def keras_inputs(tensors: Schema) -> dict[str, Any]:
    """An input layer for each array that the network gets, by name.

    An axis whose length varies is None. A column that is added to the schema becomes an input
    without another line of code.
    """
    return {
        spec.name: keras.Input(
            (None, *spec.shape[1:]) if spec.lengths else spec.shape,
            dtype=NUMPY_TYPES[spec.datatype],
            name=spec.name,
        )
        for spec in network_inputs(tensors)
    }


def features(tensors: Schema, inputs: Mapping[str, Any], *, without: Collection[str] = ()) -> Any:
    """All single values of a row as numbers side by side, float32 [n, width].

    Numbers and dates are scaled by their learned mean and deviation, or are marked by the learned
    borders that they reach; categories have a place each; flags of missing values are as they are.
    Texts, rows of varying length and other tensors with a shape need layers of their own and are
    left out, as are the inputs `without`.

    Raises:
        ValueError: nothing is left.
    """
    left_out = {f"{spec.name}_length" for spec in tensors.inputs} | set(without)
    parts = [
        _numbers(spec, inputs[spec.name])
        for spec in network_inputs(tensors)
        if not spec.shape and spec.name not in left_out
    ]
    if not parts:
        names = ", ".join(inputs)
        raise ValueError(f"none of {names} is a single number or category; build layers for them")
    return keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def _numbers(spec: TensorSpec, value: Any) -> Any:
    """One input [n] as numbers, float32 [n, width]."""
    if spec.vocabulary:
        return ops.one_hot(value, len(spec.vocabulary))
    column = keras.layers.Reshape((1,))(ops.cast(value, "float32"))
    if spec.borders:
        return ops.cast(ops.greater_equal(column, [list(spec.borders)]), "float32")
    if spec.mean is None:
        return column
    deviation = spec.deviation or 1.0
    return keras.layers.Rescaling(1 / deviation, offset=-spec.mean / deviation)(column)
