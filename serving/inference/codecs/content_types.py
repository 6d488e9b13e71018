"""Codecs of inference requests: by protocol and content type, from a body's bytes to an answer's.

A body is read here once, before a version is chosen; what is returned asks the version.
"""

import zlib
from collections.abc import Callable
from typing import Any

import orjson

from overnight.serving.errors import BadInput, LimitExceeded, WrongContentType
from overnight.serving.inference.codecs import v1_json as v1
from overnight.serving.inference.codecs import v2_binary, v2_json
from overnight.serving.inference.codecs import v2_image as image
from overnight.serving.inference.codecs.v2_binary import Encoded
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion

JSON = "application/json"
# curl's -d says that its JSON is a form, and clients that say nothing mean JSON as well.
_READ_AS_JSON = frozenset(
    {"", JSON, "text/json", "application/x-www-form-urlencoded", "application/octet-stream"}
)
_BINARY_LENGTH = "HTTP_INFERENCE_HEADER_CONTENT_LENGTH"
# What zlib calls a window of any size, behind a header that it recognises by itself.
_GZIP_OR_ZLIB = zlib.MAX_WBITS + 32
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})

Environ = dict[str, Any]
Answering = Callable[[ModelVersion], Encoded]
Codec = Callable[[bytes, Environ, Limits], Answering]


class UnknownEncoding(BadInput):
    """A body that is compressed in a way that is not read here."""


def v1_json(body: bytes, _environ: Environ, limits: Limits) -> Answering:
    """TensorFlow Serving's REST interface."""
    request = json_object(body)
    return lambda loaded: (
        orjson.dumps(v1.answer(request, loaded, limits), option=orjson.OPT_SERIALIZE_NUMPY),
        None,
    )


def v2_tensors(body: bytes, environ: Environ, limits: Limits) -> Answering:
    """JSON, with raw tensors behind it when a header says where they begin."""
    length = environ.get(_BINARY_LENGTH)
    if length is None:
        request = json_object(body)
    else:
        text, raw = v2_binary.split(body, length)
        request = json_object(text)
        v2_binary.attach(request, raw)

    def answering(loaded: ModelVersion) -> Encoded:
        answer = v2_json.answer(request, loaded, limits)
        # Only these two can ask for raw tensors.
        if "parameters" in request or "outputs" in request:
            return v2_binary.joined(request, answer)
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), None

    return answering


def v2_image(body: bytes, environ: Environ, limits: Limits) -> Answering:
    """One PNG, and the answer in the form that the client prefers."""
    raw = image.accepts_raw(environ.get("HTTP_ACCEPT", ""))
    return lambda loaded: image.answer(body, loaded, limits, raw=raw)


# As most clients spell the types, so that most requests need no parsing of them.
_LANES: dict[tuple[str, str], Codec] = {
    ("v1", JSON): v1_json,
    ("v2", JSON): v2_tensors,
    ("v2", image.PNG): v2_image,
}


def codec_of(protocol: str, content_type: str) -> Codec:
    """The codec for the body of an inference request.

    Raises:
        WrongContentType: no body of this type is read by this protocol.
    """
    lane = _LANES.get((protocol, content_type))
    if lane is not None:
        return lane
    if protocol == "v1":
        check_is_json(content_type)
        return v1_json
    if content_type.partition(";")[0].strip().lower() == image.PNG:
        return v2_image
    check_is_json(content_type, image.RAW, image.PNG)
    return v2_tensors


def check_is_json(content_type: str, *more: str) -> None:
    """Refuse a body that claims to be anything but JSON; `more` are named as read besides it.

    Raises:
        WrongContentType: says what is read.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _READ_AS_JSON and not kind.endswith("+json"):
        expected = " or ".join((JSON, *more))
        raise WrongContentType("Content-Type", expected=expected, found=kind[:80])


def decoded(body: bytes, encoding: str, limits: Limits) -> bytes:
    """The body as it was before it was compressed, by gzip or zlib, once.

    Raises:
        UnknownEncoding: it was compressed otherwise.
        BadInput: it is not what its encoding says, or ends before its end.
        TooMuch: it is longer than a plain one may be; no more than that is unpacked.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _COMPRESSED:
        expected = "gzip, deflate or identity"
        raise UnknownEncoding("Content-Encoding", expected=expected, found=name[:40])
    unpacking, most = zlib.decompressobj(_GZIP_OR_ZLIB), limits.body_bytes
    try:
        # One byte more than is allowed shows that there was too much, and never more is unpacked.
        unpacked = unpacking.decompress(body, most + 1)
    except zlib.error as error:
        raise BadInput("the body", expected=f"{name}", found=f"{error}"[:80]) from None
    if len(unpacked) > most:
        raise LimitExceeded("the body", expected=f"at most {most} bytes", found="more")
    if not unpacking.eof or unpacking.unused_data:
        problem = "bytes after its end" if unpacking.eof else "an end before its end"
        raise BadInput("the body", expected=f"{name}, whole", found=problem)
    return unpacked


def json_object(body: bytes) -> dict[str, Any]:
    """A body, which must be one JSON object.

    Raises:
        BadInput: it is not; says where it stops being JSON.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = " (JSON has no NaN or Infinity)" if b"NaN" in body or b"Infinity" in body else ""
        raise BadInput("the body", expected="JSON", found=f"{error}{hint}") from None
    if not isinstance(value, dict):
        raise BadInput("the body", expected="a JSON object", found=f"a {type(value).__name__}")
    return value
