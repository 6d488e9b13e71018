"""From errors to answers: the protocol's own form at its addresses, problem+json at ours."""

import logging
import math
from http import HTTPStatus

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from overnight.serving import errors
from overnight.serving.inference.codecs.content_types import UnknownEncoding
from overnight.serving.rest.bodies import answer, host_status
from overnight.serving.rest.headers import MET_VERSION, REFUSAL
from overnight.store.errors import (
    AlreadyDecided,
    AlreadyExists,
    BadKey,
    ChallengeRunning,
    NoChallenge,
    NothingPublished,
    OvernightError,
    PromotionConflict,
    StoreError,
    UnknownVersion,
)

logger = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
RETRY_SECONDS = 2
LONGEST_MESSAGE = 1_000
CHALLENGE = 'Bearer realm="overnight"'


# The first that fits; what is not here is a fault of ours.
_CODES: tuple[tuple[type[OvernightError], int], ...] = (
    (errors.WrongContentType, 415),
    (UnknownEncoding, 415),
    (errors.LimitExceeded, 413),
    (errors.BadInput, 400),
    (BadKey, 400),
    (errors.UnknownToken, 401),
    (errors.AdministrationClosed, 403),
    (errors.NotServed, 404),
    (UnknownVersion, 404),
    (NothingPublished, 404),
    (NoChallenge, 404),
    (ChallengeRunning, 409),
    (PromotionConflict, 409),
    (AlreadyExists, 409),
    (AlreadyDecided, 409),
    (errors.TooManyRequests, 429),
    (errors.Overloaded, 503),
    (StoreError, 503),
)
# What a request was refused for, besides being wrong in itself: counted by these names.
_REASONS = {401: "unknown_token", 403: "closed", 413: "too_much", 429: "rate"}


def install(application: Flask) -> None:
    """Answer every failure in the form that the caller understands."""
    application.before_request(_refuse)
    application.register_error_handler(OvernightError, _on_ours)
    application.register_error_handler(HTTPException, _on_http)
    application.register_error_handler(Exception, _on_anything)


def _refuse() -> None:
    """Raise what the middleware has caught or decided, so that it is reported like all failures."""
    if REFUSAL in request.environ:
        # Taken out and not named here: the traceback of an error that its own frames refer to would
        # keep the version that it met in memory until the garbage collector comes by.
        raise request.environ.pop(REFUSAL)


def failure(status: int, message: str) -> Response:
    """A failure, worded for the address that was asked."""
    # Names that clients send are repeated in words, but not by the kilobyte.
    message = message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "…"
    if request.path.startswith(("/v1", "/v2")):
        return answer({"error": message}, status=status)
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "instance": request.path[:200],
    }
    return Response(orjson.dumps(problem), status, content_type=PROBLEM)


def _on_ours(error: OvernightError) -> Response:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    if code is None:
        return _on_anything(error)
    match error:
        case errors.NotServed(soon=True):
            code = 503
        case errors.Overloaded():
            host_status().meter.refuse("overloaded")
    if code in _REASONS:
        host_status().meter.refuse(_REASONS[code])
    response = failure(code, str(error))
    if code == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE
    if code in {429, 503}:
        seconds = getattr(error, "retry_seconds", RETRY_SECONDS)
        response.headers["Retry-After"] = str(math.ceil(seconds))
    return response


def _on_http(error: HTTPException) -> Response:
    """Werkzeug's own: unknown address, wrong method."""
    if error.code is None or error.code < 400:
        return Response(error.get_response().data, error.code)
    response = failure(error.code, f"{request.method} {request.path[:200]}: {error.description}")
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


def _on_anything(error: Exception) -> Response:
    """A fault of ours: logged whole, told without details."""
    told = {"request_id": g.request_id, "version": request.environ.get(MET_VERSION)}
    logger.error("%s %s failed", request.method, request.path[:200], exc_info=error, extra=told)
    return failure(500, "the server failed to answer; its log says why")
