"""CloudEvents 1.0 over HTTP: a request in an event, binary or structured, is answered by one.

In binary mode the attributes are headers (`ce-id`) and the body is the data; in structured mode
both are one JSON object. The answer comes in the mode of the request, with the type and the source
that KServe gives to its answers, so that triggers which filter by them work.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson

from overnight.serving.errors import BadInput, WrongContentType
from overnight.serving.inference.codecs.content_types import (
    CALLER,
    JSON,
    Codec,
    Environ,
    Inference,
    codec_of,
    json_object,
    kind_of_content,
)
from overnight.serving.inference.codecs.v2_binary import Encoded
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Limits

EVENT = "overnight.event"
STRUCTURED = "application/cloudevents+json"
VERSION = "1.0"
REPLY_TYPE = "io.kserve.inference.response"
REPLY_SOURCE = "io.kserve.inference."
_KIND = "application/cloudevents"
_VERSION_HEADER = "HTTP_CE_SPECVERSION"
_NEEDED = ("specversion", "id", "source", "type")
# What a label may name its answer by.
_CALLER_CHARACTERS = 256


class CloudEvent(NamedTuple):
    """An event that was sent: its id, its mode, and the media type of its data."""

    id: str
    structured: bool
    content_type: str

    def reply(
        self, encoded: Encoded, content_type: str, *, request_id: str, model: str
    ) -> tuple[Encoded, list[tuple[str, str]]]:
        """The answer as an event: its body, and the headers that are those of its mode."""
        attributes = {
            "specversion": VERSION,
            "id": request_id,
            "source": f"{REPLY_SOURCE}{model}",
            "type": REPLY_TYPE,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if not self.structured:
            headers = [(f"ce-{name}", value) for name, value in attributes.items()]
            return encoded, [("Content-Type", content_type), *headers]
        attributes["datacontenttype"] = content_type
        body, json_length = encoded
        field, data = b"data", body
        if json_length is not None:
            # Where the JSON ends and raw tensors begin, which is a header otherwise.
            attributes["inferenceheadercontentlength"] = str(json_length)
            field, data = b"data_base64", orjson.dumps(base64.b64encode(body).decode())
        whole = orjson.dumps(attributes)[:-1] + b',"' + field + b'":' + data + b"}"
        return (whole, None), [("Content-Type", STRUCTURED)]


def is_event(environ: Environ) -> bool:
    """Whether a request is an event, in either mode."""
    return _VERSION_HEADER in environ or environ.get("CONTENT_TYPE", "").lower().startswith(_KIND)


def event_codec(protocol: str, verb: str) -> Codec:
    """The codec of a protocol for requests in events; `EVENT` of the environ is the event."""

    def read(body: bytes, environ: Environ, limits: Limits) -> Inference:
        kind = kind_of_content(environ.get("CONTENT_TYPE", ""))
        event, data = _structured(body, kind) if kind.startswith(_KIND) else _binary(body, environ)
        environ[EVENT], environ["CONTENT_TYPE"] = event, event.content_type
        if len(event.id) <= _CALLER_CHARACTERS:
            # By this id a label may name the answer; an `id` of the request itself comes first.
            environ[CALLER] = event.id
        return codec_of(protocol, event.content_type, verb)(data, environ, limits)

    return read


def _binary(body: bytes, environ: Environ) -> tuple[CloudEvent, bytes]:
    sent = {name: _unescaped(name, environ.get(f"HTTP_CE_{name.upper()}")) for name in _NEEDED}
    _check(sent, place="ce-")
    return CloudEvent(str(sent["id"]), structured=False, content_type=_data_type(environ)), body


def _data_type(environ: Environ) -> str:
    return str(environ.get("CONTENT_TYPE", "")) or JSON


def _structured(body: bytes, kind: str) -> tuple[CloudEvent, bytes]:
    if kind != STRUCTURED:
        raise WrongContentType("Content-Type", expected=f"{STRUCTURED}, one event", found=kind[:80])
    event = json_object(body, may_be_infinite=True)
    _check(event, place="")
    content_type = event.get("datacontenttype") or JSON
    if not isinstance(content_type, str):
        raise BadInput("datacontenttype", expected="a media type", found=kind_of(content_type))
    sent = CloudEvent(event["id"], structured=True, content_type=content_type)
    if "data_base64" not in event:
        if "data" not in event:
            raise BadInput("data", expected="the request", found="an event without data")
        # NaN becomes null: a missing value, as in JSON without events.
        return sent, orjson.dumps(event["data"])
    encoded = event["data_base64"]
    try:
        return sent, base64.b64decode(encoded, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise BadInput("data_base64", expected="base64", found=kind_of(encoded)) from None


def _check(sent: dict[str, Any], *, place: str) -> None:
    """Check that an event has what every event has.

    Raises:
        BadInput: naming the attribute.
    """
    for name in _NEEDED:
        value = sent.get(name)
        if not isinstance(value, str) or not value:
            actual = "none" if value is None else kind_of(value)
            raise BadInput(f"{place}{name}", expected="a text, as every event has", found=actual)
    if sent["specversion"] != VERSION:
        actual = kind_of(sent["specversion"])
        raise BadInput(f"{place}specversion", expected=VERSION, found=actual)


def _unescaped(name: str, header: str | None) -> str | None:
    """The value of a header, whose characters may be percent-encoded UTF-8."""
    if header is None:
        return None
    try:
        return unquote(header, errors="strict")
    except UnicodeDecodeError:
        actual = kind_of(header)
        raise BadInput(f"ce-{name}", expected="percent-encoded UTF-8", found=actual) from None
