"""Answers calls by the same code as requests over HTTP, and reports errors as a status.

An inference is admitted, limited, answered, counted and recorded by what does so for HTTP. All
other calls and every error are requests of the application that answers HTTP.
"""

import io
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import grpc
from flask import Flask
from werkzeug.exceptions import NotFound

from overnight.serving.errors import Abandoned, BadInput, LimitExceeded, NotServed
from overnight.serving.inference.codecs.content_types import Environ, Inference
from overnight.serving.inference.limits import Limits
from overnight.serving.rest.answering import Answer
from overnight.serving.rest.environ import BASE
from overnight.serving.rest.headers import (
    ADMITTED,
    PROTOCOL,
    REFUSAL,
    REQUEST_ID,
    UNLIKE_HEADER,
    VERSION_HEADER,
)
from overnight.serving.rest.middleware.admission import WAIT_SECONDS, AdmissionMiddleware
from overnight.serving.rest.middleware.fast_path import target_of
from overnight.serving.rest.quick_paths import QuickPaths
from overnight.serving.rest.resources import Resources
from overnight.serving.rest.server import LARGE_BYTES
from overnight.serving.rest.uploads import Uploads
from overnight.store.errors import OvernightError

# Metadata that mean what the header of this name means over HTTP.
_HEADERS = {
    name: f"HTTP_{name.upper().replace('-', '_')}"
    for name in (
        "authorization",
        "x-api-key",
        "x-client-key",
        "x-forwarded-for",
        "x-prediction-log",
        "x-request-id",
    )
}
_LISTED = "x-forwarded-for"
# Headers of the answer that go into the trailing metadata.
_TRAILING = {
    "X-Model-Version": "x-model-version",
    "X-Request-Id": "x-request-id",
    UNLIKE_HEADER: UNLIKE_HEADER.lower(),
}
_OVER_SECONDS = 0.05
# By which gRPC's own retries know when to try again.
_PUSHBACK = "grpc-retry-pushback-ms"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    503: grpc.StatusCode.UNAVAILABLE,
}

# A `grpc.ServicerContext`, whose library has no types.
Context = Any
# The path of a request, what else its environ has, and what makes its inference.
Parsed = tuple[str, Environ, Callable[[Limits], Inference]]


class Calls:
    """Answers calls by the application of a worker."""

    def __init__(self, application: Flask) -> None:
        shared: Resources = application.extensions["overnight"]
        self._answering, self._quick = shared.answering, QuickPaths()
        self._admission: AdmissionMiddleware = application.wsgi_app  # type: ignore[assignment]
        self._limits = shared.limits
        # How much of a message has come is not known before it is whole, so it is late only when
        # the time of a whole body is over, or when others wait.
        limits = replace(shared.limits, body_grace_seconds=shared.limits.body_seconds)
        self._uploads, self._lock = Uploads(limits), threading.Lock()

    def drop_late(self) -> None:
        """Cancel the calls whose messages did not come in time."""
        with self._lock:
            self._uploads.drop_late()

    def infer(
        self, parse: Callable[[bytes], Parsed], messages: Iterator[bytes], context: Context
    ) -> bytes:
        """Admit a call by its metadata, receive its message, run it and encode the response."""
        environ = _environ(context)
        try:
            self._admission.admit(environ)
            body = self._receive(environ[ADMITTED], messages, context)
            path, more, make = parse(body)
        except (OvernightError, NotFound) as error:
            environ[REFUSAL] = error
            return self._answer(environ, context)
        environ |= more
        environ["PATH_INFO"] = path
        try:
            return self._infer(environ, make, len(body), context)
        except Exception as error:  # noqa: BLE001 - Flask logs and reports it
            environ[REFUSAL] = error
        return self._answer(environ, context)

    def _infer(
        self, environ: Environ, make: Callable[[Limits], Inference], size: int, context: Context
    ) -> bytes:
        """Run a call whose message of so many bytes has come, within the limits of HTTP.

        Raises:
            NotFound: nothing is at its path.
            OvernightError: of the limits, or of the inference.
        """
        target = target_of(environ["PATH_INFO"])
        if target is None:
            raise NotFound
        request_id = self._answering.ids.choose(environ.get("HTTP_X_REQUEST_ID", ""))
        environ["HTTP_X_REQUEST_ID"] = request_id
        began = time.perf_counter()

        def answer() -> Answer:
            return self._answering.answer(
                target,
                make(self._limits),
                environ,
                request_id,
                protocol=environ[PROTOCOL],
                began=time.perf_counter(),
                body_bytes=size,
            )

        # To wait for a slot and to be woken takes longer than what is known to be quick.
        if size <= LARGE_BYTES and self._quick.has(environ):
            answered = self._timed(environ, answer)
        else:
            answered = self._wait(environ, answer, size, context)
        headers = [(VERSION_HEADER, answered.version), (REQUEST_ID, request_id)]
        if answered.unlike is not None:
            headers.append((UNLIKE_HEADER, answered.unlike))
        self._admission.log(environ, "200 OK", headers, began)
        _set_trailing(context, headers)
        return answered.encoded[0]

    def _timed(self, environ: Environ, answer: Callable[[], Answer]) -> Answer:
        """Answer a quick call at once, and note whether it still is one."""
        began = time.thread_time()
        answered = self._admission.run(environ, answer, slot_seconds=None)
        self._quick.note(environ, time.thread_time() - began)
        return answered

    def _wait(
        self, environ: Environ, answer: Callable[[], Answer], size: int, context: Context
    ) -> Answer:
        """Answer a call in its turn, and note how long that took without the waiting."""

        def in_turn() -> Answer:
            # It may have waited long, and a network cannot be interrupted.
            if not context.is_active():
                raise Abandoned
            began = time.thread_time()
            answered = answer()
            self._quick.note(environ, time.thread_time() - began)
            return answered

        seconds = min(WAIT_SECONDS, context.time_remaining())
        with self._admission.holding() as hold:
            if size > LARGE_BYTES:
                hold(size)
            return self._admission.run(environ, in_turn, slot_seconds=seconds)

    def query(
        self,
        context: Context,
        path: str,
        *,
        body: bytes = b"",
        method: str = "GET",
        also: tuple[int, ...] = (),
        more: Environ | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON of a route, for the statuses 200 and `also`; others end the call.

        `more` is what else the environ of the request has.
        """
        environ = _environ(context) | (more or {})
        environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body)}
        if body:
            environ |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"}
        status, headers, answer = self._run(environ)
        code = int(status[:3])
        if code != 200 and code not in also:
            _abort(context, code, headers, answer)
        _set_trailing(context, headers)
        return code, json.loads(answer)

    def receive(self, messages: Iterator[bytes], context: Context) -> bytes:
        """The message of a call that is no inference; errors end the call."""
        try:
            return self._receive(_address(context.peer()), messages, context)
        except OvernightError as error:
            environ = _environ(context) | {REFUSAL: error}
            return self._answer(environ, context)

    def _receive(self, client: str, messages: Iterator[bytes], context: Context) -> bytes:
        """The message of a call.

        Raises:
            Overloaded: too many messages are being received.
            LimitExceeded: it is longer than the limit, once it is unpacked.
            BadInput: there is none.
        """
        with self._lock:
            upload = self._uploads.begin(client, context.cancel)
        try:
            body = next(messages)
        except StopIteration:
            raise BadInput("the call", expected="one message", found="none") from None
        finally:
            with self._lock:
                self._uploads.end(upload)
        if len(body) > self._limits.body_bytes:
            most = self._limits.body_bytes
            raise LimitExceeded("the message", expected=f"at most {most} bytes", found="more")
        return body

    def _answer(self, environ: Environ, context: Context) -> bytes:
        status, headers, body = self._run(environ)
        if status != "200 OK":
            code = int(status[:3])
            # It waited for its turn as long as its client does, and ended a little before it.
            is_over = code == 503 and context.time_remaining() < _OVER_SECONDS
            _abort(context, 408 if is_over else code, headers, body)
        _set_trailing(context, headers)
        return body

    def _run(self, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        parts = self._admission(
            environ, lambda status, headers, *_: started.append((status, headers))
        )
        body = b"".join(parts)
        status, headers = started[-1]
        return status, headers, body


def segment(name: str, what: str) -> str:
    """A name as a segment of a path.

    Raises:
        NotServed: it would be more than one segment, or mean another one.
    """
    if not name or "/" in name or ":" in name or name in {".", ".."}:
        raise NotServed(f"no {what} {name[:80]!r} is served here", ("those with a valid name",))
    # WSGI wants the bytes of a path, decoded as Latin-1.
    return name if name.isascii() else name.encode().decode("latin-1")


def _environ(context: Context) -> Environ:
    """The environ of a call, as far as its metadata are known."""
    environ: Environ = BASE | {
        "SERVER_PROTOCOL": "gRPC",
        "SERVER_NAME": "grpc",
        "SERVER_PORT": "0",
        "HTTP_HOST": "grpc",
        "REMOTE_ADDR": _address(context.peer()),
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v2",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "http",
    }
    for name, value in context.invocation_metadata() or ():
        key = _HEADERS.get(name)
        if key is None:
            continue
        if key not in environ:
            environ[key] = value
            continue
        environ[key] = f"{environ[key]},{value}"
        if name != _LISTED:
            environ[REFUSAL] = BadInput(name, expected="one of this name", found="several")
    return environ


@lru_cache(1_000)
def _address(peer: str) -> str:
    """The address in `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    address = unquote(peer.partition(":")[2])
    return address.rpartition(":")[0].strip("[]")


def _set_trailing(context: Context, headers: list[tuple[str, str]]) -> None:
    context.set_trailing_metadata(
        tuple((_TRAILING[name], value) for name, value in headers if name in _TRAILING)
    )


def _abort(context: Context, code: int, headers: list[tuple[str, str]], body: bytes) -> None:
    """End a call with the status and the text of an error.

    Raises:
        Exception: always, as gRPC ends a call.
    """
    named = dict(headers)
    trailing = [(_TRAILING[name], value) for name, value in headers if name in _TRAILING]
    if "Retry-After" in named:
        trailing.append((_PUSHBACK, str(math.ceil(float(named["Retry-After"]) * 1000))))
    context.set_trailing_metadata(tuple(trailing))
    context.abort(_CODES.get(code, grpc.StatusCode.INTERNAL), _text_of(body))


def _text_of(body: bytes) -> str:
    error = json.loads(body)
    return str(error.get("error") or error.get("detail") or error)
