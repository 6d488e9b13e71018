"""Error responses: JSON of the inference protocols at their paths, problem+json at all others."""

import logging
import math
from http import HTTPStatus

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from overnight.serving import errors
from overnight.serving.inference.codecs.content_types import UnknownEncoding
from overnight.serving.rest.bodies import json_response
from overnight.serving.rest.headers import CHOSEN_VERSION, REFUSAL
from overnight.serving.rest.invoked_model import INVOCATIONS
from overnight.serving.rest.resources import resources
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
    UnencodableValue,
    UnknownVersion,
)

logger = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
RETRY_SECONDS = 2
MAXIMUM_CHARACTERS = 1_000
AUTHENTICATE = 'Bearer realm="overnight"'

# The first that matches; any other error is an internal one.
_CODES: tuple[tuple[type[OvernightError], int], ...] = (
    (errors.WrongContentType, 415),
    (UnknownEncoding, 415),
    (errors.LimitExceeded, 413),
    (errors.BadInput, 400),
    (UnencodableValue, 400),
    (BadKey, 400),
    (errors.UnknownToken, 401),
    (errors.AdministrationClosed, 403),
    (errors.NotServed, 404),
    (errors.NothingParked, 404),
    (errors.NoFeedback, 404),
    (UnknownVersion, 404),
    (NothingPublished, 404),
    (NoChallenge, 404),
    (ChallengeRunning, 409),
    (PromotionConflict, 409),
    (AlreadyExists, 409),
    (AlreadyDecided, 409),
    (errors.TooSlow, 408),
    (errors.Abandoned, 499),
    (errors.TooManyRequests, 429),
    (errors.TooManyLabels, 429),
    (errors.LabelsNotKept, 503),
    (errors.PredictionLogOff, 503),
    (errors.Overloaded, 503),
    (StoreError, 503),
)
# Refusals counted in the metrics, by the label `reason`.
_REASONS = {401: "unknown_token", 403: "closed", 408: "slow", 413: "too_much", 429: "rate"}


def install(application: Flask) -> None:
    """Install handlers for errors of this project, of Werkzeug, and for all others."""
    application.before_request(_raise_refusal)
    application.register_error_handler(OvernightError, _on_known)
    application.register_error_handler(HTTPException, _on_http)
    application.register_error_handler(Exception, _on_unknown)


def _raise_refusal() -> None:
    """Raise the error of a middleware, so that it is reported like all others."""
    if REFUSAL in request.environ:
        # Popped, and bound to no name: an error that the frames of its own traceback refer to is a
        # cycle, which would keep the version in memory until the next garbage collection.
        raise request.environ.pop(REFUSAL)


def error_response(status: int, message: str) -> Response:
    """An error in the form of the request's path."""
    # Messages repeat names that clients send, which may be long.
    message = message if len(message) <= MAXIMUM_CHARACTERS else message[:MAXIMUM_CHARACTERS] + "…"
    if request.path.startswith(("/v1", "/v2", INVOCATIONS)):
        return json_response({"error": message}, status=status)
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "instance": request.path[:200],
    }
    return Response(orjson.dumps(problem), status, content_type=PROBLEM)


def _on_known(error: OvernightError) -> Response:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    if code is None:
        return _on_unknown(error)
    match error:
        case errors.NotServed(soon=True):
            code = 503
        case errors.Overloaded():
            resources().status.meter.refuse("overloaded")
    if code in _REASONS:
        resources().status.meter.refuse(_REASONS[code])
    response = error_response(code, str(error))
    if code == 401:
        response.headers["WWW-Authenticate"] = AUTHENTICATE
    if code == 408:
        # The rest of the body may still come, and would be read as the next request.
        response.headers["Connection"] = "close"
    if code in {429, 503}:
        seconds = getattr(error, "retry_seconds", RETRY_SECONDS)
        response.headers["Retry-After"] = str(math.ceil(seconds))
    return response


def _on_http(error: HTTPException) -> Response:
    """Errors of Werkzeug: unknown path, wrong method."""
    if error.code is None or error.code < 400:
        return Response(error.get_response().data, error.code)
    response = error_response(
        error.code, f"{request.method} {request.path[:200]}: {error.description}"
    )
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


def _on_unknown(error: Exception) -> Response:
    """An internal error: logged with its traceback, reported without details."""
    context = {"request_id": g.request_id, "version": request.environ.get(CHOSEN_VERSION)}
    logger.error("%s %s failed", request.method, request.path[:200], exc_info=error, extra=context)
    return error_response(500, "internal error; the server's log has the details")
