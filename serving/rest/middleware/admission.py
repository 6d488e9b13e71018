"""Admission control (WSGI middleware): keys, rate and concurrency limits; reads whole bodies.

A slow sender must not hold what answers. So bodies are read here, in one of many cheap threads,
and only a request that has arrived completely waits for one of the few places where answers are
made. Refusals are reported by Flask, like all other failures.
"""

import io
import logging
import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import NotFound

from overnight.serving.errors import BadInput, LimitExceeded, Overloaded, UnknownToken
from overnight.serving.host.shared_memory import DrainFlag
from overnight.serving.inference.codecs.content_types import Environ
from overnight.serving.inference.limits import Limits
from overnight.serving.rest.headers import CLIENT, REFUSAL, REQUEST_ID, VERSION_HEADER, Application
from overnight.serving.rest.middleware.rate_limits import (
    ConcurrencyLimiter,
    RateLimiter,
    neighbourhood,
)
from overnight.serving.rest.middleware.security_headers import Origins
from overnight.serving.rest.middleware.token_auth import NOBODY, Tokens, key_of
from overnight.store.errors import OvernightError

logger = logging.getLogger(__name__)

# Questions after health are answered in any crowd, and never need a key.
HEALTH = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})
# What has nothing of a model's in it; a browser cannot send a key when it opens a page.
_PAGES = frozenset({"/", "/docs", "/favicon.ico", "/api/openapi.json"})
_STATIC = "/static/"
_MODELS, _REFRESH = "/api/models/", "/refresh"
_PROTOCOLS = ("/v1/", "/v2/")
_LARGE = 65_536
_PIECE = 1 << 20
# No longer number is a length of anything.
_DIGITS = 18
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Admission:
    """Who may send requests, and what is logged. `origins` are those of other sites' pages."""

    keys: Tokens = NOBODY
    origins: tuple[str, ...] = ()
    log_requests: bool = False
    draining: DrainFlag = field(default_factory=DrainFlag)


class AdmissionMiddleware:
    """Admits or refuses every request before anything else sees it."""

    def __init__(
        self,
        behind: Application,
        *,
        refusing: Application,
        limits: Limits,
        administrators: Tokens,
        admission: Admission,
        crowd: ConcurrencyLimiter,
    ) -> None:
        """`refusing` reports the error that it finds in `environ[REFUSAL]`."""
        self._behind, self._refusing = behind, refusing
        self._limits, self._draining = limits, admission.draining
        self._keys, self._administrators = admission.keys, administrators
        self._is_keyed = admission.keys.configured
        self._origins = Origins(admission.origins) if admission.origins else None
        self._log_requests = admission.log_requests
        self._crowd = crowd
        self._rate = RateLimiter(limits.per_second) if limits.per_second else None
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(limits.answering):
            self._places.put(None)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._origins is not None and "HTTP_ORIGIN" in environ:
            start_response = self._origins.telling(environ["HTTP_ORIGIN"], start_response)
            if self._origins.is_preflight(environ):
                return self._origins.preflight(start_response)
        if self._draining.begun:
            start_response = _closing(start_response)
        path = environ["PATH_INFO"]
        if path in HEALTH:
            return self._behind(environ, start_response)
        began = time.perf_counter()

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if self._log_requests or status >= "4":
                _log(environ, status, headers, time.perf_counter() - began)
            return start_response(status, headers, *rest)

        try:
            self._admit(environ, path)
            if path.startswith("//"):
                # Werkzeug drops leading slashes before it looks for a route. It would serve an
                # address that nothing before it recognised, past the limit on concurrent answers.
                raise NotFound
            return self._inside(environ, started, path)
        except (OvernightError, NotFound) as error:
            environ[REFUSAL] = error
            return self._refusing(environ, started)
        finally:
            self._crowd.leave(id(environ))

    def _admit(self, environ: Environ, path: str) -> None:
        """Find out who asks, and count the request in.

        Raises:
            UnknownToken, TooManyRequests, Overloaded: they may not come in.
        """
        client: str = environ.get("REMOTE_ADDR", "")
        if ":" in client:
            client = neighbourhood(client)
        if self._is_keyed and not _is_open(path):
            client = environ[CLIENT] = self._name(environ)
        if self._rate is not None:
            self._rate.take(client)
        self._crowd.enter(id(environ), client)

    def _name(self, environ: Environ) -> str:
        key = key_of(environ)
        name = self._keys.name_of(key) or self._administrators.name_of(key)
        if name is None:
            if self._rate is not None:
                # Whoever guesses may not guess faster than others ask.
                self._rate.take(neighbourhood(environ.get("REMOTE_ADDR", "")))
            raise UnknownToken("a key is needed here")
        return name

    def _inside(
        self, environ: Environ, start_response: Callable[..., Any], path: str
    ) -> Iterable[bytes]:
        """Read the body; then answer, when it is this request's turn.

        Whatever a request says of its length, never more is read than is allowed.

        Raises:
            TooMuch: the body is longer than the limit, or says so.
            BadInput: it ended before its end.
            Overloaded: other large bodies hold the memory, or no turn came.
        """
        declared = environ.get("CONTENT_LENGTH")
        if declared is None and "HTTP_TRANSFER_ENCODING" not in environ:
            return self._behind(environ, start_response)
        stream, most = environ["wsgi.input"], self._limits.body_bytes
        length = _length(declared, most) if declared else most + 1
        if declared and length <= _LARGE:
            # A server that ends its streams by itself has the quicker read without a length.
            ends = environ.get("wsgi.input_terminated")
            body = stream.read() if ends else stream.read(length)
            return self._in_turn(environ, start_response, path, body, length)
        with self._crowd.holding() as hold:
            body = _in_pieces(stream, length, hold)
            if len(body) > most:
                raise LimitExceeded("the body", expected=f"at most {most} bytes", found="more")
            whole = length if declared else len(body)
            return self._in_turn(environ, start_response, path, body, whole)

    def _in_turn(
        self,
        environ: Environ,
        start_response: Callable[..., Any],
        path: str,
        body: bytes,
        length: int,
    ) -> Iterable[bytes]:
        if len(body) != length:
            raise BadInput("the body", expected=f"{length} bytes", found=f"an end at {len(body)}")
        environ["wsgi.input"] = io.BytesIO(body)
        if "HTTP_TRANSFER_ENCODING" in environ:
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(length)
        if not path.startswith(_PROTOCOLS):
            return self._behind(environ, start_response)
        try:
            self._places.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise Overloaded(f"no turn came within {WAIT_SECONDS:.0f} s") from None
        try:
            return self._behind(environ, start_response)
        finally:
            self._places.put(None)


def _length(declared: str, most: int) -> int:
    if not (declared.isascii() and declared.isdigit()):
        raise BadInput("Content-Length", expected="a number of bytes", found=repr(declared[:20]))
    if len(declared) > _DIGITS or int(declared) > most:
        raise LimitExceeded("the body", expected=f"at most {most} bytes", found=declared[:_DIGITS])
    return int(declared)


def _in_pieces(stream: Any, most: int, hold: Callable[[int], None]) -> bytes:
    pieces, left = [], most
    while left and (piece := stream.read(min(left, _PIECE))):
        hold(len(piece))
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _is_open(path: str) -> bool:
    """Whether an address needs no key: pages, and the request to refresh.

    Of a model named `refresh` no more is open than of any other.
    """
    if path in _PAGES or path.startswith(_STATIC):
        return True
    return path.endswith(_REFRESH) and path.startswith(_MODELS) and path.count("/") == 4


def _closing(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Ask the client to come back over another connection, which will be another host's."""

    def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, ("Connection", "close")], *rest)

    return started


def _log(environ: Environ, status: str, headers: list[tuple[str, str]], seconds: float) -> None:
    found = dict(headers)
    code = int(status[:3])
    logger.log(
        logging.WARNING if code >= 500 else logging.INFO,
        "answered %d",
        code,
        extra={
            "status": code,
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"][:200],
            "milliseconds": round(seconds * 1000, 2),
            "request_id": found.get(REQUEST_ID, ""),
            "client": environ.get(CLIENT) or environ.get("REMOTE_ADDR", ""),
            "version": found.get(VERSION_HEADER),
        },
    )
