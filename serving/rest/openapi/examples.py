"""Example requests that work without changes, generated from the tensors of a version."""

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs import v2_image
from overnight.store.schema import Schema, TensorSpec


def row(spec: TensorSpec) -> Any:
    """One row as nested lists: an image of a vertical bar, else equal values."""
    if spec.datatype == "UINT8" and len(spec.shape) == 2:
        return _bar(spec).tolist()
    return np.full(spec.shape, _value(spec)).tolist()


def v2_request(tensors: Schema) -> dict[str, Any]:
    """Every input, with one row."""
    return {
        "inputs": [
            {
                "name": spec.name,
                "shape": [1, *spec.shape],
                "datatype": spec.datatype,
                "data": [row(spec)],
            }
            for spec in tensors.inputs
        ]
    }


def v1_rows(tensors: Schema) -> dict[str, Any]:
    """One row, by row: a bare value when there is one input, else values by name."""
    if len(tensors.inputs) == 1:
        return {"instances": [row(tensors.inputs[0])]}
    return {"instances": [{spec.name: row(spec) for spec in tensors.inputs}]}


def v1_columns(tensors: Schema) -> dict[str, Any]:
    """The same row, by column."""
    return {"inputs": {spec.name: [row(spec)] for spec in tensors.inputs}}


def png(tensors: Schema) -> bytes | None:
    """One row as a PNG, or None if the model takes no image."""
    try:
        # The codec of pictures is the one place that knows which models take one alone.
        spec = v2_image.picture_input(tensors.inputs)
    except BadInput:
        return None
    buffer = io.BytesIO()
    picture = Image.fromarray(_bar(spec))
    (picture.convert("RGB") if spec.shape[2:] else picture).save(buffer, "png")
    return buffer.getvalue()


def _bar(spec: TensorSpec) -> NDArray[np.uint8]:
    height, width = spec.shape[:2]
    y, x = np.ogrid[:height, :width]
    inside = (abs(y - height // 2) <= height // 3) & (abs(x - width // 2) <= width // 16)
    low, high = spec.minimum or 0, 255 if spec.maximum is None else spec.maximum
    return np.where(inside, high, low).astype(np.uint8)


def _value(spec: TensorSpec) -> float | int | bool:
    """Zero, or the allowed value that is closest to it."""
    if spec.datatype == "BOOL":
        return False
    value = min(max(0.0, spec.minimum or 0.0), math.inf if spec.maximum is None else spec.maximum)
    return value if spec.datatype.startswith("FP") else math.ceil(value)
