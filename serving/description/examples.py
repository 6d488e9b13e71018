"""Requests that work as they stand, made from the tensors of the version that answers."""

import json
import math
import struct
import zlib
from typing import Any

import numpy as np

from serving.inference.limits import Limits
from serving.protocols import image
from store.errors import BadInput
from store.schema import NUMPY_TYPES, Schema, TensorSpec


def row(spec: TensorSpec) -> Any:
    """One row, nested as its shape says: a bar down the middle of a picture, else equal numbers."""
    if spec.datatype == "UINT8" and len(spec.shape) == 2:
        height, width = spec.shape
        return [[_pixel(spec, y, x) for x in range(width)] for y in range(height)]
    found: Any = _plain(spec)
    for side in reversed(spec.shape):
        found = [found] * side
    return found


def v2_request(tensors: Schema) -> dict[str, Any]:
    """Each input with one row."""
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


def v1_request(tensors: Schema) -> dict[str, Any]:
    """One row by row: bare when there is one input, else by name."""
    if len(tensors.inputs) == 1:
        return {"instances": [row(tensors.inputs[0])]}
    return {"instances": [{spec.name: row(spec) for spec in tensors.inputs}]}


def v1_columns(tensors: Schema) -> dict[str, Any]:
    """The same row by column."""
    return {"inputs": {spec.name: [row(spec)] for spec in tensors.inputs}}


def raw_bytes(spec: TensorSpec) -> int:
    """How many bytes one row takes in the binary form."""
    return math.prod(spec.shape) * np.dtype(NUMPY_TYPES[spec.datatype]).itemsize


def picture(tensors: Schema) -> bytes | None:
    """One row as a PNG, if the model takes pictures; what reads requests has the last word."""
    shape = tensors.inputs[0].shape
    if len(shape) not in {2, 3}:
        return None
    colours = 3 if shape[2:] == (3,) else 1
    found = _png(shape[0], shape[1], colours, tensors.inputs[0])
    try:
        image.read(found, tensors.inputs, Limits())
    except BadInput:
        return None
    return found


def text(body: object) -> str:
    """JSON as people can look at it: a line for each innermost list."""
    return json.dumps(body, separators=(",", ":")).replace("[[[", "\n[[[").replace("],[", "],\n[")


def _plain(spec: TensorSpec) -> float | int | bool:
    value = min(max(0.0, spec.minimum or 0.0), math.inf if spec.maximum is None else spec.maximum)
    if spec.datatype == "BOOL":
        return False
    return value if spec.datatype.startswith("FP") else math.ceil(value)


def _pixel(spec: TensorSpec, y: int, x: int) -> int:
    height, width = spec.shape[:2]
    inside = abs(y - height // 2) <= height // 3 and abs(x - width // 2) <= width // 16
    low, high = spec.minimum or 0, 255 if spec.maximum is None else spec.maximum
    return int(high if inside else low)


def _png(height: int, width: int, colours: int, spec: TensorSpec) -> bytes:
    """A PNG without any choice left to an encoder."""
    lines = [
        b"\0" + bytes(_pixel(spec, y, x) for x in range(width) for _ in range(colours))
        for y in range(height)
    ]
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if colours == 3 else 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
