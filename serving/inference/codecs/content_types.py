"""Chooses the codec of an inference request by its protocol and content type.

A codec parses the body once, before a version is chosen, and returns a function that runs the
request on the version and encodes the response.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from overnight.serving.errors import BadInput, LimitExceeded, WrongContentType
from overnight.serving.inference.codecs import invocations, v2_binary, v2_json
from overnight.serving.inference.codecs import v1_json as v1
from overnight.serving.inference.codecs import v2_image as image
from overnight.serving.inference.codecs.v2_binary import Encoded
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion

JSON = "application/json"
# curl -d labels its body as a form, `fetch` labels a text as plain, and clients that send no type
# mean JSON as well.
_READ_AS_JSON = frozenset(
    {
        "",
        JSON,
        "text/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
    }
)
# Key of the environ: the id by which the body of a request names it, if it is a text.
CALLER = "overnight.caller"
_BINARY_LENGTH = "HTTP_INFERENCE_HEADER_CONTENT_LENGTH"
# 32 more than the largest window makes zlib detect the header of gzip or zlib by itself.
_GZIP_OR_ZLIB = zlib.MAX_WBITS + 32
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP = b"\x1f\x8b"
_BLOCK_BYTES = 65_536
_MOST_MEMBERS = 1_000

Environ = dict[str, Any]
# Reserves memory for so many bytes until the request is done.
Hold = Callable[[int], None]
Inference = Callable[[ModelVersion], Encoded]
Codec = Callable[[bytes, Environ, Limits], Inference]


class UnknownEncoding(BadInput):
    """A body compressed in a way that is not supported."""


def v1_json(body: bytes, _environ: Environ, limits: Limits) -> Inference:
    """TensorFlow Serving's REST interface, which has NaN and Infinity in its JSON."""
    request = json_object(body, may_be_infinite=True)

    def run(loaded: ModelVersion) -> Encoded:
        response = v1.predict(request, loaded, limits, text=body)
        return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY), None

    return run


def v1_classify(body: bytes, _environ: Environ, limits: Limits) -> Inference:
    """`:classify` of TensorFlow Serving's REST interface."""
    request = json_object(body, may_be_infinite=True)

    def run(loaded: ModelVersion) -> Encoded:
        response = v1.classify(request, loaded, limits, text=body)
        return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY), None

    return run


def invocation(body: bytes, environ: Environ, limits: Limits) -> Inference:
    """`/invocations`, in JSON, lines of JSON, CSV or as an array of numpy; answered in JSON.

    Raises:
        BadInput: none of the forms; or the client takes no JSON.
    """
    accepted = environ.get("HTTP_ACCEPT", "").lower()
    if accepted and "json" not in accepted and "*" not in accepted:
        raise BadInput("Accept", expected=f"{JSON}, as all answers here", found=accepted[:80])
    kind, text = kind_of_content(environ.get("CONTENT_TYPE", "")), None
    cells: list[list[str]] = []
    if kind == invocations.CSV:
        cells = invocations.cells_of(body)
    elif kind == invocations.NPY:
        request = invocations.rows_of_npy(body)
    elif kind in invocations.LINES:
        request, text = invocations.rows_of_lines(body), body
    else:
        request, text = invocations.rows_of(json_value(body, may_be_infinite=True)), body

    def run(loaded: ModelVersion) -> Encoded:
        rows = invocations.rows_of_cells(cells, loaded) if cells else request
        response = invocations.predict(rows, loaded, limits, text=text)
        return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY), None

    return run


def v2_tensors(body: bytes, environ: Environ, limits: Limits) -> Inference:
    """JSON, followed by raw tensors when a header gives the length of the JSON.

    A length of 0 means one raw tensor and no JSON.
    """
    length, text = environ.get(_BINARY_LENGTH), body
    if length is None:
        request = json_object(body)
    else:
        text, raw = v2_binary.split(body, length)
        if not text:
            return lambda loaded: _run_alone(body, loaded, limits)
        request = json_object(text)
        v2_binary.attach(request, raw)
    if isinstance(caller := request.get("id"), str):
        environ[CALLER] = caller
    # Only these two fields can request raw tensors.
    may_want_raw = "parameters" in request or "outputs" in request
    if may_want_raw:
        v2_binary.check_parameters(request)

    def run(loaded: ModelVersion) -> Encoded:
        response = v2_json.infer(request, loaded, limits, text=text)
        if may_want_raw:
            return v2_binary.encode(request, response)
        return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY), None

    return run


def _run_alone(body: bytes, loaded: ModelVersion, limits: Limits) -> Encoded:
    request = v2_binary.alone(body, loaded.predictor.inputs)
    return v2_binary.encode(request, v2_json.infer(request, loaded, limits))


def v2_image(body: bytes, environ: Environ, limits: Limits) -> Inference:
    """One picture; the response is JSON or raw, as `Accept` prefers."""
    raw = image.accepts_raw(environ.get("HTTP_ACCEPT", ""))
    kind = kind_of_content(environ.get("CONTENT_TYPE", ""))
    return lambda loaded: image.infer(body, loaded, limits, kind=kind, raw=raw)


# Exact content types of most clients, for which no parsing is needed.
_CODECS: dict[tuple[str, str], Codec] = {
    ("v1", JSON): v1_json,
    ("v2", JSON): v2_tensors,
    ("invocations", JSON): invocation,
    **{("v2", kind): v2_image for kind in image.MEDIA_TYPES},
}


def codec_of(protocol: str, content_type: str, verb: str = "predict") -> Codec:
    """The codec for the body of an inference request; `verb` is that of v1.

    Raises:
        WrongContentType: the protocol does not accept this type.
    """
    if verb == "classify":
        check_is_json(content_type)
        return v1_classify
    codec = _CODECS.get((protocol, content_type))
    if codec is not None:
        return codec
    if protocol == "v1":
        check_is_json(content_type)
        return v1_json
    if protocol == "invocations":
        more = (invocations.CSV, invocations.NPY, *sorted(invocations.LINES))
        if kind_of_content(content_type) not in more:
            check_is_json(content_type, *more)
        return invocation
    if kind_of_content(content_type) in image.MEDIA_TYPES:
        return v2_image
    check_is_json(content_type, image.RAW, *image.MEDIA_TYPES[:3])
    return v2_tensors


def kind_of_content(content_type: str) -> str:
    """The media type of a `Content-Type`, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def check_is_json(content_type: str, *more: str) -> None:
    """Refuse a content type other than JSON; `more` are types that the error names as well.

    Raises:
        WrongContentType: lists the accepted types.
    """
    kind = kind_of_content(content_type)
    if kind not in _READ_AS_JSON and not kind.endswith("+json"):
        expected = " or ".join((JSON, *more))
        raise WrongContentType("Content-Type", expected=expected, found=kind[:80])


def decoded(body: bytes, encoding: str, limits: Limits, *, hold: Hold = lambda _: None) -> bytes:
    """The body, decompressed by gzip or zlib as `Content-Encoding` says.

    `hold` is called with the length of every decompressed block, before the next.

    Raises:
        UnknownEncoding: another encoding, or several.
        BadInput: not of this encoding, truncated, or followed by something else.
        LimitExceeded: more than the limit of a plain body; no more than that is decompressed.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _COMPRESSED:
        expected = "gzip, deflate or identity"
        raise UnknownEncoding("Content-Encoding", expected=expected, found=name[:40])
    blocks, unpacked = [], 0
    try:
        for block in _unpacked(body):
            unpacked += len(block)
            if unpacked > limits.body_bytes:
                most = limits.body_bytes
                raise LimitExceeded("the body", expected=f"at most {most} bytes", found="more")
            hold(len(block))
            blocks.append(block)
    except (zlib.error, EOFError) as error:
        raise BadInput("the body", expected=f"{name}", found=f"{error}"[:80]) from None
    return b"".join(blocks)


def _unpacked(body: bytes) -> Iterator[bytes]:
    """The contents of all members, in blocks: a small body can expand a thousandfold.

    Raises:
        zlib.error, EOFError: it is not compressed, not whole, or something follows it.
    """
    view, position, members = memoryview(body), 0, 1
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    while True:
        packed = view[position : position + _BLOCK_BYTES]
        block = unpacking.decompress(packed, _BLOCK_BYTES)
        position += len(packed) - len(unpacking.unconsumed_tail) - len(unpacking.unused_data)
        yield block
        if unpacking.eof:
            if position == len(view):
                return
            members += 1
            # Only gzip has members (RFC 1952); one costs more than the bytes that it takes.
            is_gzip = body.startswith(_GZIP) and view[position : position + 2] == _GZIP
            if not is_gzip:
                raise EOFError("bytes after its end")
            if members > _MOST_MEMBERS:
                raise EOFError(f"more than {_MOST_MEMBERS:,} members")
            unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
        elif position == len(view) and not block:
            raise EOFError("an end before its end")


def json_object(body: bytes, *, may_be_infinite: bool = False) -> dict[str, Any]:
    """Parse a body that must be one JSON object, as `json_value`.

    Raises:
        BadInput: it is not; names the position of the first error.
    """
    value = json_value(body, may_be_infinite=may_be_infinite)
    if not isinstance(value, dict):
        raise BadInput("the body", expected="a JSON object", found=kind_of(value))
    return value


def json_value(body: bytes, *, may_be_infinite: bool = False) -> Any:
    """Parse a body of JSON.

    With `may_be_infinite`, NaN and Infinity are read as floats; JSON itself (RFC 8259) has neither.

    Raises:
        BadInput: it is not; names the position of the first error.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        is_extended = b"NaN" in body or b"Infinity" in body
        value = _extended(body) if is_extended and may_be_infinite else None
        if value is None:
            hint = " (JSON has no NaN or Infinity)" if is_extended and not may_be_infinite else ""
            raise BadInput("the body", expected="JSON", found=f"{error}{hint}") from None
    return value


def _extended(body: bytes) -> Any:
    """The value of a JSON text with NaN or Infinity in it; None where it is none.

    Written once more, so that nothing else comes in that the usual parser refuses: lone surrogates,
    integers beyond 64 bits.
    """
    try:
        value = json.loads(body)
        orjson.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return None
    return value
