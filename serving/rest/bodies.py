"""Request bodies, and JSON responses."""

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response, request

from overnight.serving.inference.codecs.content_types import (
    JSON,
    check_is_json,
    decoded,
    json_object,
)
from overnight.serving.lifecycle.model_slots import LoadedVersion
from overnight.serving.rest.headers import VERSION_HEADER, hold_of
from overnight.serving.rest.resources import resources


def json_body() -> dict[str, Any]:
    """The request's body, which must be one JSON object.

    Raises:
        WrongContentType, UnknownEncoding, LimitExceeded, BadInput: it is not.
    """
    return json_object(body_bytes())


def body_bytes() -> bytes:
    """The request's body, decompressed; admission control has checked its length.

    Raises:
        WrongContentType, UnknownEncoding: its headers name an unsupported type or encoding.
        LimitExceeded, BadInput: too long decompressed, or not of its encoding.
    """
    check_is_json(request.mimetype)
    body = request.get_data(cache=False)
    encoding, hold = request.headers.get("Content-Encoding", ""), hold_of(request.environ)
    return decoded(body, encoding, resources().limits, hold=hold)


def json_response(
    content: Mapping[str, Any], *, loaded: LoadedVersion | None = None, status: int = 200
) -> Response:
    """A JSON response, with the version that produced it in a header."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    response = Response(body, status, content_type=JSON)
    if loaded is not None:
        response.headers[VERSION_HEADER] = loaded.version
    return response


def uncached(response: Response) -> Response:
    """The same response, which caches must not store."""
    response.headers["Cache-Control"] = "no-store"
    return response
