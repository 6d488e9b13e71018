"""Reading requests and writing answers: what all protocols share."""

from collections.abc import Mapping
from typing import Any, cast

import orjson
from flask import Response, current_app, request

from overnight.serving.challenger.router import Router
from overnight.serving.host.shared_memory import DrainFlag
from overnight.serving.inference.codecs.content_types import (
    JSON,
    check_is_json,
    decoded,
    json_object,
)
from overnight.serving.inference.limits import Limits
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.headers import VERSION_HEADER
from overnight.serving.status import Status
from overnight.store.objects.bucket import Bucket


def router() -> Router:
    return cast("Router", current_app.extensions["router"])


def slots() -> ModelSlots:
    return router().slots


def slot(model: str) -> ModelSlot:
    """The slot of a model named in an address."""
    return slots().find(model)


def host_status() -> Status:
    return cast("Status", current_app.extensions["status"])


def registry() -> Bucket | None:
    """Where alias records are written, if this server follows a store."""
    return cast("Bucket | None", current_app.extensions["bucket"])


def draining() -> DrainFlag:
    return cast("DrainFlag", current_app.extensions["draining"])


def limits() -> Limits:
    return cast("Limits", current_app.extensions["limits"])


def json_body() -> dict[str, Any]:
    """The request's body, which must be one JSON object.

    Raises:
        WrongContentType, UnknownEncoding, TooMuch, BadInput: it is not.
    """
    return json_object(body_bytes())


def body_bytes() -> bytes:
    """The request's body, unpacked; admission has held its length against the limit.

    Raises:
        WrongContentType, UnknownEncoding: it claims to be something that is not read here.
        TooMuch, BadInput: it is too long unpacked, or not what it claims to be.
    """
    check_is_json(request.mimetype)
    body = request.get_data(cache=False)
    return decoded(body, request.headers.get("Content-Encoding", ""), limits())


def answer(
    content: Mapping[str, Any], *, loaded: LoadedVersion | None = None, status: int = 200
) -> Response:
    """JSON, naming the version that answered in a header."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    response = Response(body, status, content_type=JSON)
    if loaded is not None:
        response.headers[VERSION_HEADER] = loaded.version
    return response


def uncached(response: Response) -> Response:
    """The same response, which is out of date as soon as it was sent."""
    response.headers["Cache-Control"] = "no-store"
    return response
