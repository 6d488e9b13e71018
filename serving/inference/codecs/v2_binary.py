"""The binary tensor extension of the Open Inference Protocol v2: JSON first, then raw tensors.

`Inference-Header-Content-Length` gives the length of the JSON. Tensors follow in the order of the
inputs that have `parameters.binary_data_size`, little-endian and row-major.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from overnight.serving.errors import BadInput
from overnight.serving.inference.error_text import kind_of
from overnight.store.schema import NUMPY_TYPES, TensorSpec

HEADER = "Inference-Header-Content-Length"
# Longer numbers are no length, and `int` refuses to parse the longest.
_DIGITS = 18
# The bytes of a response, and the length of its JSON when raw tensors follow it.
Encoded = tuple[bytes, int | None]


def split(body: bytes, length: str) -> tuple[bytes, memoryview]:
    """The JSON of a request, and the raw tensors that follow it.

    Raises:
        BadInput: the header is not a length within the body.
    """
    is_number = length.isascii() and length.isdigit() and len(length) <= _DIGITS
    if not is_number or int(length) > len(body):
        expected = f"a number of at most {len(body)}, the bytes of the body"
        raise BadInput(HEADER, expected=expected, found=length[:40])
    return body[: int(length)], memoryview(body)[int(length) :]


def attach(request: dict[str, Any], raw: memoryview) -> None:
    """Set the `data` of each input to its part of the raw tensors.

    Raises:
        BadInput: the declared sizes are not those of the bytes, or a raw tensor has `data`, too.
    """
    start, inputs = 0, request.get("inputs")
    for place, tensor in enumerate(inputs if isinstance(inputs, list) else ()):
        size = parameters_of(tensor, field=f"inputs[{place}]").get("binary_data_size")
        if size is None:
            continue
        if tensor.get("data") is not None:
            expected = "none, because `binary_data_size` says that they are raw"
            raise BadInput(
                f"inputs[{place}].data", expected=expected, found=kind_of(tensor["data"])
            )
        field = f"inputs[{place}].parameters.binary_data_size"
        if type(size) is not int or not 0 <= size <= len(raw) - start:
            expected = f"at most the {len(raw) - start} bytes that are left"
            raise BadInput(field, expected=expected, found=kind_of(size))
        tensor["data"] = raw[start : start + size]
        start += size
    if start != len(raw):
        expected = f"{start} bytes of tensors, as the inputs say"
        raise BadInput("the body", expected=expected, found=f"{len(raw)}")


def encode(request: dict[str, Any], response: dict[str, Any]) -> Encoded:
    """The bytes of a response, with the outputs raw that the request wants so."""
    all_raw, is_raw = _wanted_raw(request)
    parts = []
    for output in response["outputs"]:
        if is_raw.get(output["name"], all_raw):
            part = raw_bytes(output.pop("data"))
            output["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
    text = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return (text + b"".join(parts), len(text)) if parts else (text, None)


def check_parameters(request: dict[str, Any]) -> None:
    """Check the parameters that ask for raw tensors, before anything is run.

    Raises:
        BadInput: parameters are no object, or one of these is no boolean.
    """
    _wanted_raw(request)


def _wanted_raw(request: dict[str, Any]) -> tuple[bool, dict[str, bool]]:
    """Whether outputs are wanted raw by default, and which are or are not, by name."""
    all_raw = _flag(parameters_of(request), "binary_data_output", default=False)
    outputs = request.get("outputs")
    is_raw: dict[str, bool] = {}
    for place, output in enumerate(outputs if isinstance(outputs, list) else ()):
        if isinstance(output, dict):
            parameters = parameters_of(output, field=f"outputs[{place}]")
            if isinstance(name := output.get("name"), str):
                is_raw[name] = _flag(parameters, "binary_data", default=all_raw)
    return all_raw, is_raw


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadInput(f"parameters.{name}", expected="true or false", found=kind_of(value))
    return value


def raw_bytes(values: Any) -> bytes:
    """The bytes of an array, or of texts, each after its length in four bytes."""
    if isinstance(values, list):
        texts = [text.encode() for text in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    raw: bytes = values.tobytes()
    return raw


def alone(body: bytes, specs: Sequence[TensorSpec]) -> dict[str, Any]:
    """The request that a body without JSON stands for: one row of the only input, raw.

    That is what a header of 0 means: the shape follows from the declaration, where one axis varies
    also from the number of bytes; a text is the body itself, without a length before it. Outputs
    are raw as well.

    Raises:
        BadInput: the model needs more than one input; says which.
    """
    needed = [spec for spec in specs if spec.default is None] or list(specs[:1])
    if len(needed) != 1:
        expected = f"JSON first, because the inputs are {[spec.name for spec in specs]}"
        raise BadInput(HEADER, expected=expected, found="0")
    (spec,) = needed
    raw = memoryview(body)
    shape = [1, *spec.shape]
    if spec.text is not None:
        raw = memoryview(len(body).to_bytes(4, "little") + body)
    elif spec.lengths:
        width = np.dtype(NUMPY_TYPES[spec.datatype]).itemsize * math.prod(spec.shape[1:])
        shape[1] = len(body) // width
    tensor = {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": raw}
    return {"inputs": [tensor], "parameters": {"binary_data_output": True}}


def parameters_of(holder: object, *, field: str = "") -> dict[str, Any]:
    """The parameters of a request, an input or an output; none where they are null or absent.

    Raises:
        BadInput: they are no object.
    """
    parameters = holder.get("parameters") if isinstance(holder, dict) else None
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        named = f"{field}.parameters" if field else "parameters"
        raise BadInput(named, expected="an object", found=kind_of(parameters))
    return parameters
