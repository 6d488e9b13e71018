"""Example requests that work without changes, generated from the tensors of a version."""

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs import v2_image
from overnight.serving.inference.truths import labelled_outputs
from overnight.serving.inference.vocabulary import TEXTS
from overnight.store.schema import Schema, TensorSpec

_SHOWN_LENGTH = 4
_SHOWN_WORDS = 3
# Of more values than this nobody reads lists, and a picture's file is shorter.
_LARGEST_PICTURE = 2_000


def row(spec: TensorSpec) -> Any:
    """One row as nested lists: a picture of a vertical bar, a text, else equal values."""
    if spec.text is not None:
        return _nested(_text(spec), spec.shape)
    if spec.lengths:
        # Short: what is longer than the least length is sent in the same way.
        return _nested(value_of(spec), (min(spec.lengths[0], _SHOWN_LENGTH), *spec.shape[1:]))
    if spec.takes_pictures:
        if math.prod(spec.shape) > _LARGEST_PICTURE:
            return {"b64": base64.b64encode(_picture(spec)).decode()}
        channels = math.prod(spec.shape[2:])
        return np.repeat(_bar(spec), channels).reshape(spec.shape).tolist()
    return _nested(value_of(spec), spec.shape)


def v2_tensor(spec: TensorSpec) -> dict[str, Any]:
    """One row of an input as a tensor; a large picture is a text, in base64."""
    values = row(spec)
    tensor = {
        "name": spec.name,
        "shape": [1, *spec.shape],
        "datatype": spec.datatype,
        "data": [values],
    }
    if spec.lengths:
        return tensor | {"shape": [1, *np.shape(values)]}
    if isinstance(values, dict):
        return tensor | {"shape": [1], "datatype": TEXTS, "data": [values["b64"]]}
    return tensor


def v2_request(tensors: Schema) -> dict[str, Any]:
    """Every input that has no default, with one row."""
    return {"inputs": [v2_tensor(spec) for spec in needed(tensors)]}


def needed(tensors: Schema) -> list[TensorSpec]:
    """The inputs that have to be sent; one at least."""
    return [spec for spec in tensors.inputs if spec.default is None] or [tensors.inputs[0]]


def v1_rows(tensors: Schema) -> dict[str, Any]:
    """One row, by row: a bare value when there is one input, else values by name."""
    if len(tensors.inputs) == 1:
        return {"instances": [row(tensors.inputs[0])]}
    return {"instances": [{spec.name: row(spec) for spec in needed(tensors)}]}


def records(tensors: Schema) -> dict[str, Any]:
    """The same row, by name, as `/invocations` takes it."""
    return {"dataframe_records": [{spec.name: row(spec) for spec in needed(tensors)}]}


def v1_columns(tensors: Schema) -> dict[str, Any]:
    """The same row, by column."""
    return {"inputs": {spec.name: [row(spec)] for spec in needed(tensors)}}


def label(tensors: Schema) -> dict[str, Any]:
    """The truth of the first row of a request, by the id in its answer's header."""
    return {"request": "6f1c2b9d04e84d0f9c5a000000000001", "row": 0, "truth": _truth(tensors)}


def labels(tensors: Schema) -> dict[str, Any]:
    """Two labels, of which one names its request by the caller's own id."""
    return {"labels": [label(tensors), {"caller": "order-17", "truth": _truth(tensors)}]}


def _truth(tensors: Schema) -> Any:
    outputs = labelled_outputs(tensors)
    if not outputs:
        return 0.0
    first = outputs[0]
    if classes := tensors.classes(first.name):
        return classes[-1]
    return value_of(first) if len(first.shape) <= 1 else row(first)


def v1_examples(tensors: Schema) -> dict[str, Any]:
    """The same row, as an example to be classified."""
    return {"examples": [{spec.name: row(spec) for spec in needed(tensors)}]}


def png(tensors: Schema) -> bytes | None:
    """One row as a PNG, or None if the model takes no image."""
    try:
        # The codec of pictures is the one place that knows which models take one alone.
        spec = v2_image.picture_input(tensors.inputs)
    except BadInput:
        return None
    return _picture(spec)


def _picture(spec: TensorSpec) -> bytes:
    """A PNG in the size and colours of the input."""
    buffer = io.BytesIO()
    picture = Image.fromarray(_bar(spec))
    (picture.convert("RGB") if spec.shape[2:] in {(3,), (4,)} else picture).save(buffer, "png")
    return buffer.getvalue()


def _bar(spec: TensorSpec) -> NDArray[np.uint8]:
    height, width = spec.shape[:2]
    y, x = np.ogrid[:height, :width]
    inside = (abs(y - height // 2) <= height // 3) & (abs(x - width // 2) <= width // 16)
    low, high = spec.minimum or 0, 255 if spec.maximum is None else spec.maximum
    return np.where(inside, high, low).astype(np.uint8)


def _text(spec: TensorSpec) -> str:
    """A few of the words that the model knows, or any."""
    assert spec.text is not None
    known = [piece for piece in spec.text.pieces if piece.isalpha()]
    return " ".join(known[:_SHOWN_WORDS]) or "any text"


def _nested(value: Any, shape: tuple[int, ...]) -> Any:
    """The value in nested lists of a shape."""
    for length in reversed(shape):
        value = [value] * length
    return value


def value_of(spec: TensorSpec) -> float | int | bool:
    """Zero, or the allowed value that is closest to it."""
    if spec.datatype == "BOOL":
        return False
    value = min(max(0.0, spec.minimum or 0.0), math.inf if spec.maximum is None else spec.maximum)
    return value if spec.datatype.startswith("FP") else math.ceil(value)
