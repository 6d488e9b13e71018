"""Picture requests: a PNG, JPEG or WebP is one row of a model that needs nothing but a picture."""

import numpy as np
from numpy.typing import NDArray

from overnight.serving.errors import WrongContentType
from overnight.serving.inference.codecs import v2_binary, v2_json
from overnight.serving.inference.limits import Allowance, Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.pictures import one_row
from overnight.serving.inference.runtime import Array
from overnight.store.schema import TensorSpec

# `image/jpg` is no media type, but many clients send it.
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/jpg")
RAW = "application/octet-stream"
_FIELD = "the image"


def infer(
    body: bytes, loaded: ModelVersion, limits: Limits, *, kind: str, raw: bool
) -> tuple[bytes, int | None]:
    """Run one picture; a v2 response with all outputs, whose tensors are raw when `raw`.

    Returns the bytes, and the length of their JSON when raw tensors follow it.

    Raises:
        WrongContentType: the model needs more than one picture; names `kind` as what was sent.
        LimitExceeded: more pixels than the limit.
        BadInput: no picture, damaged, or not of the size and colours of the model.
    """
    inputs = loaded.predictor.inputs
    spec = picture_input(inputs, kind=kind)
    rows: dict[str, Array] = {spec.name: read(body, spec, limits)}
    response = v2_json.respond(rows, loaded.predictor.outputs, loaded)
    return v2_binary.encode({"parameters": {"binary_data_output": True}} if raw else {}, response)


def accepts_raw(accept: str) -> bool:
    """Whether the first media type of `Accept` is raw bytes."""
    return accept.split(",", 1)[0].split(";", 1)[0].strip() == RAW


def read(body: bytes, spec: TensorSpec, limits: Limits) -> NDArray[np.uint8]:
    """The picture as one row, uint8 [1, *shape].

    Raises:
        LimitExceeded, BadInput: as `infer`.
    """
    return one_row(spec, body, Allowance(limits), field=_FIELD)[None]


def picture_input(inputs: tuple[TensorSpec, ...], *, kind: str = MEDIA_TYPES[0]) -> TensorSpec:
    """The input that a picture alone is enough for: the only one without a default.

    Raises:
        WrongContentType: there is none, so tensors must be sent.
    """
    needed = [spec for spec in inputs if spec.default is None]
    if len(needed) == 1 and needed[0].takes_pictures:
        return needed[0]
    tensors = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in inputs)
    expected = f"application/json or {RAW}, because the inputs are {tensors}"
    raise WrongContentType("Content-Type", expected=expected, found=kind)
