"""Completes the requests that schemathesis generates by what JSON Schema cannot say.

It has no products, so the document cannot say that there are as many values as the shape of a
tensor has; nor what a file of a picture is, and which of two unequal objects have one name; and 1.0
is an integer to it. Here valid requests get as many values, real pictures, each output once and
integers without a point; invalid ones stay as they are.
"""

import base64
import io
import json
import math
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies
from PIL import Image

SIDE, MOST_ROWS = 28, 3
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
_LENGTH = "Inference-Header-Content-Length"


def _picture(kind: str, shade: int) -> bytes:
    body = io.BytesIO()
    Image.new("L", (SIDE, SIDE), shade).save(body, kind)
    return body.getvalue()


PICTURE = base64.b64encode(_picture("PNG", 9)).decode()
for media_type, kind in _FORMATS.items():
    shades = strategies.integers(0, 255)
    schemathesis.openapi.media_type(
        media_type, shades.map(lambda shade, kind=kind: _picture(kind, shade))
    )


# Rows of the model in the other forms of /invocations.
_ROW = [[7] * SIDE] * SIDE
_TABLE = io.BytesIO()
np.save(_TABLE, np.array([_ROW], np.uint8))
for media_type, body in {
    "text/csv": ",".join(["7"] * SIDE**2).encode(),
    "application/jsonlines": json.dumps(_ROW).encode(),
    "application/x-npy": _TABLE.getvalue(),
}.items():
    schemathesis.openapi.media_type(media_type, strategies.just(body))


@schemathesis.hook
def before_call(_context: object, case: Any, _arguments: dict[str, Any]) -> None:
    """Complete the body of a valid inference request."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    path = case.operation.path
    if isinstance(case.body, dict):
        case.body = _whole(case.body)
    if case.media_type == "application/cloudevents+json":
        case.body = _event(path)
    elif path == "/invocations" and case.media_type == "application/json":
        case.body = _invocation(case.body)
    elif path.endswith("/infer") and case.media_type == "application/octet-stream":
        case.body, length = _raw()
        case.headers[_LENGTH] = length
    elif not isinstance(case.body, dict):
        return
    elif path.endswith("/infer"):
        case.body = _tensors(case.body)
    elif path.endswith((":predict", ":classify")):
        field = next(name for name in ("instances", "inputs", "examples") if name in case.body)
        case.body = case.body | {field: _rows(case.body[field])}


def _whole(value: Any) -> Any:
    """The value with 1 for 1.0, which is an integer to JSON Schema alone."""
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _event(path: str) -> dict[str, Any]:
    """An event whose data is a request of the path."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, SIDE, SIDE], "data": [_ROW]}
    data: dict[str, Any] = {"instances": [_ROW]}
    if path.endswith("/infer"):
        data = {"inputs": [tensor]}
    elif path.endswith(":classify"):
        data = {"examples": [{"image": _ROW}]}
    return {"specversion": "1.0", "id": "7", "source": "/here", "type": "sent", "data": data}


def _invocation(body: Any) -> Any:
    """Rows of the model, in the form that was generated."""
    forms: dict[str, Any] = {
        "instances": [_ROW],
        "inputs": [_ROW],
        "dataframe_records": [{"image": _ROW}],
        "dataframe_split": {"columns": ["image"], "data": [[_ROW]]},
    }
    if isinstance(body, list):
        return [_ROW]
    form = next(name for name in forms if name in body)
    return {form: forms[form]}


def _raw() -> tuple[bytes, str]:
    """JSON and a raw tensor."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, SIDE, SIDE]}
    sized = tensor | {"parameters": {"binary_data_size": SIDE * SIDE}}
    text = json.dumps({"inputs": [sized]}).encode()
    return text + bytes(SIDE * SIDE), str(len(text))


def _tensors(body: dict[str, Any]) -> dict[str, Any]:
    """As many values as the shapes say, and each output once."""
    body = body | {"inputs": [_filled(tensor) for tensor in body["inputs"]]}
    if isinstance(outputs := body.get("outputs"), list):
        body["outputs"] = list({output["name"]: output for output in outputs}.values())
    return body


def _filled(tensor: dict[str, Any]) -> dict[str, Any]:
    rows = min(tensor["shape"][0], MOST_ROWS)
    shape = [rows, *tensor["shape"][1:]]
    if tensor["datatype"] == "BYTES":
        return tensor | {"shape": shape, "data": [PICTURE] * rows}
    return tensor | {"shape": shape, "data": [7] * math.prod(shape)}


def _rows(sent: Any) -> Any:
    """Rows or a column of the lengths of the model, in the form that was generated."""
    if isinstance(sent, dict):
        return {name: _rows(column) for name, column in sent.items()}
    return [_row(row) for row in sent[:MOST_ROWS]]


def _row(row: Any) -> Any:
    if isinstance(row, dict) and "b64" not in row:
        return {name: _row(value) for name, value in row.items()}
    return {"b64": PICTURE} if isinstance(row, dict) else [[7] * SIDE] * SIDE
