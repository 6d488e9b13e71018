"""From errors to answers: the protocol's own form at its addresses, problem+json at ours."""

import logging
from http import HTTPStatus

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from serving.routes.bodies import WrongContentType, answer, limits
from store.errors import BadInput, NotServed, TooMuch

logger = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
RETRY_SECONDS = 2


def install(application: Flask) -> None:
    """Answer every failure in the form that the caller understands."""
    application.register_error_handler(BadInput, _on_bad_input)
    application.register_error_handler(NotServed, _on_not_served)
    application.register_error_handler(HTTPException, _on_http)
    application.register_error_handler(Exception, _on_anything)


def failure(status: int, message: str) -> Response:
    """A failure, worded for the address that was asked."""
    if request.path.startswith(("/v1", "/v2")):
        return answer({"error": message}, status=status)
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "instance": request.path,
    }
    return Response(orjson.dumps(problem), status, content_type=PROBLEM)


def _on_bad_input(error: BadInput) -> Response:
    match error:
        case WrongContentType():
            return failure(415, str(error))
        case TooMuch():
            return failure(413, str(error))
    return failure(400, str(error))


def _on_not_served(error: NotServed) -> Response:
    if not error.soon:
        return failure(404, str(error))
    response = failure(503, str(error))
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def _on_http(error: HTTPException) -> Response:
    """Werkzeug's own: unknown address, wrong method, a body over the limit, a cut connection."""
    if isinstance(error, RequestEntityTooLarge):
        return failure(413, f"the body: expected at most {limits().body_bytes} bytes, found more")
    if error.code is None or error.code < 400:
        return Response(error.get_response().data, error.code)
    response = failure(error.code, f"{request.method} {request.path[:200]}: {error.description}")
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


def _on_anything(error: Exception) -> Response:
    """A fault of ours: logged whole, told without details."""
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return failure(500, "the server failed to answer; its log says why")
