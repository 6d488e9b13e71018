"""Reading requests and writing answers: what all protocols share."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import orjson
from flask import Response, current_app, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from serving.board import Draining
from serving.challenger import Router
from serving.express import JSON, VERSION_HEADER
from serving.inference.limits import Limits
from serving.loaded import ModelVersion
from serving.routes.encodings import decoded
from serving.slots import Loaded, Slot, Slots
from serving.story import Story
from store.bucket import Bucket
from store.errors import BadInput, WrongContentType

_Answer = TypeVar("_Answer")
# curl's -d says that its JSON is a form, and clients that say nothing mean JSON as well.
ACCEPTED = {"", JSON, "text/json", "application/x-www-form-urlencoded", "application/octet-stream"}


def router() -> Router:
    return cast("Router", current_app.extensions["router"])


def slots() -> Slots:
    return router().slots


def slot(model: str) -> Slot:
    """The slot of a model named in an address."""
    return slots().find(model)


def story() -> Story:
    return cast("Story", current_app.extensions["story"])


def registry() -> Bucket | None:
    """Where alias records are written, if this server follows a store."""
    return cast("Bucket | None", current_app.extensions["bucket"])


def draining() -> Draining:
    return cast("Draining", current_app.extensions["draining"])


def limits() -> Limits:
    return cast("Limits", current_app.extensions["limits"])


def noting(answering: Callable[[ModelVersion], _Answer]) -> Callable[[ModelVersion], _Answer]:
    """The same, and whichever version a request meets is named also when it fails there."""

    def noted(loaded: ModelVersion) -> _Answer:
        g.met = loaded.version
        return answering(loaded)

    return noted


def body_bytes(*more: str) -> bytes:
    """The request's body; `more` are kinds that are read besides JSON.

    Raises:
        WrongContentType, UnknownEncoding: it claims to be something that is not read here.
        BadInput: it is not what it claims to be.
        RequestEntityTooLarge: it is longer than the limit, as it came or unpacked.
    """
    mimetype = request.mimetype
    if mimetype not in (*ACCEPTED, *more) and not mimetype.endswith("+json"):
        expected = " or ".join((JSON, *more))
        raise WrongContentType("Content-Type", expected=expected, found=mimetype[:80])
    body = request.get_data(cache=False)
    if len(body) > limits().body_bytes:
        raise RequestEntityTooLarge
    return decoded(body, request.headers.get("Content-Encoding", ""), most=limits().body_bytes)


def json_object(body: bytes) -> dict[str, Any]:
    """A body, which must be one JSON object.

    Raises:
        BadInput: it is not; says where it stops being JSON.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = " (JSON has no NaN or Infinity)" if b"NaN" in body or b"Infinity" in body else ""
        raise BadInput("the body", expected="JSON", found=f"{error}{hint}") from None
    if not isinstance(found, dict):
        raise BadInput("the body", expected="a JSON object", found=f"a {type(found).__name__}")
    return found


def answer(
    content: Mapping[str, Any], *, loaded: Loaded | None = None, status: int = 200
) -> Response:
    """JSON, naming the version that answered in a header."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    response = Response(body, status, content_type=JSON)
    if loaded is not None:
        response.headers[VERSION_HEADER] = loaded.version
    return response
