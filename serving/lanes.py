"""The kinds of bodies that are nearly all bodies, each with the way from its bytes to an answer.

A body is read here once, before a version is chosen; what is returned asks the version.
"""

from collections.abc import Callable
from typing import Any

import orjson

from serving.inference.limits import Limits
from serving.loaded import ModelVersion
from serving.protocols import binary, image, v1, v2
from serving.protocols.binary import Encoded

JSON = "application/json"
_BINARY_LENGTH = "HTTP_INFERENCE_HEADER_CONTENT_LENGTH"

Environ = dict[str, Any]
Answering = Callable[[ModelVersion], Encoded]
Lane = Callable[[bytes, Environ, Limits], Answering]


def v1_json(body: bytes, _environ: Environ, limits: Limits) -> Answering:
    """TensorFlow Serving's REST interface."""
    asked = orjson.loads(body)
    return lambda loaded: (
        orjson.dumps(v1.answer(asked, loaded, limits), option=orjson.OPT_SERIALIZE_NUMPY),
        None,
    )


def v2_json(body: bytes, _environ: Environ, limits: Limits) -> Answering:
    """Everything as JSON; the answer too, unless raw tensors are asked for."""
    asked = orjson.loads(body)
    return lambda loaded: binary.joined(asked, v2.answer(asked, loaded, limits))


def v2_binary(body: bytes, environ: Environ, limits: Limits) -> Answering:
    """JSON, and raw tensors behind it."""
    text, raw = binary.split(body, environ[_BINARY_LENGTH])
    asked = orjson.loads(text)
    binary.attach(asked, raw)
    return lambda loaded: binary.joined(asked, v2.answer(asked, loaded, limits))


def v2_image(body: bytes, environ: Environ, limits: Limits) -> Answering:
    """One PNG."""
    raw = image.accepts_raw(environ.get("HTTP_ACCEPT", ""))
    return lambda loaded: image.answer(body, loaded, limits, raw=raw)


# By protocol and kind of body; with a header that says where raw tensors begin, those are meant.
_LANES: dict[tuple[str, str], Lane] = {
    ("v1", JSON): v1_json,
    ("v2", JSON): v2_json,
    ("v2", image.PNG): v2_image,
}
_BINARY_KINDS = frozenset({image.RAW, JSON, ""})


def lane_of(protocol: str, environ: Environ) -> Lane | None:
    """The lane for a request as its headers describe it; None for what is unusual."""
    if "HTTP_CONTENT_ENCODING" in environ:
        return None
    kind = environ.get("CONTENT_TYPE", "")
    if _BINARY_LENGTH in environ:
        return v2_binary if protocol == "v2" and kind in _BINARY_KINDS else None
    return _LANES.get((protocol, kind))
