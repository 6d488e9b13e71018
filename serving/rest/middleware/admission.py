"""Admission control (WSGI middleware): authentication, rate and concurrency limits, request bodies.

A slow sender must not occupy inference. So bodies are read here, in one of many cheap threads, and
only a complete request waits for one of the few inference slots. Refusals are reported by Flask,
like all other errors.
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
    client_network,
)
from overnight.serving.rest.middleware.security_headers import Origins
from overnight.serving.rest.middleware.token_auth import NO_TOKENS, Tokens, key_of
from overnight.store.errors import OvernightError

logger = logging.getLogger(__name__)

# Health checks and metrics are answered under any load, and never need a key.
HEALTH = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})
# Pages hold no data of models, and a browser cannot send a key when it opens one.
_PAGES = frozenset({"/", "/docs", "/favicon.ico", "/api/openapi.json"})
_STATIC = "/static/"
_MODELS, _REFRESH = "/api/models/", "/refresh"
_PROTOCOLS = ("/v1/", "/v2/")
_LARGE_BYTES = 65_536
_CHUNK_BYTES = 1 << 20
# Longer numbers are no length, and `int` refuses to parse the longest.
_DIGITS = 18
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Admission:
    """Keys of clients, and origins of other sites whose scripts may send requests (CORS)."""

    keys: Tokens = NO_TOKENS
    origins: tuple[str, ...] = ()
    log_requests: bool = False
    draining: DrainFlag = field(default_factory=DrainFlag)


class AdmissionMiddleware:
    """Admits or refuses every request before any other code handles it."""

    def __init__(
        self,
        application: Application,
        *,
        report_error: Application,
        limits: Limits,
        administrators: Tokens,
        admission: Admission,
        concurrency: ConcurrencyLimiter,
    ) -> None:
        """`report_error` responds with the error in `environ[REFUSAL]`."""
        self._application, self._report_error = application, report_error
        self._limits, self._draining = limits, admission.draining
        self._keys, self._administrators = admission.keys, administrators
        self._is_keyed = admission.keys.configured
        self._origins = Origins(admission.origins) if admission.origins else None
        self._log_requests = admission.log_requests
        self._concurrency = concurrency
        self._rate = RateLimiter(limits.per_second) if limits.per_second else None
        self._inference_slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(limits.answering):
            self._inference_slots.put(None)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._origins is not None and "HTTP_ORIGIN" in environ:
            start_response = self._origins.allow(environ["HTTP_ORIGIN"], start_response)
            if self._origins.is_preflight(environ):
                return self._origins.answer_preflight(start_response)
        if self._draining.begun:
            start_response = _closing_connection(start_response)
        path = environ["PATH_INFO"]
        if path in HEALTH:
            return self._application(environ, start_response)
        start = time.perf_counter()

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if self._log_requests or status >= "4":
                _log(environ, status, headers, time.perf_counter() - start)
            return start_response(status, headers, *rest)

        try:
            self._admit(environ, path)
            if path.startswith("//"):
                # Werkzeug strips leading slashes before routing. It would serve a path that none of
                # these checks recognised, past the limit of concurrent inference.
                raise NotFound
            return self._read_body(environ, started, path)
        except (OvernightError, NotFound) as error:
            environ[REFUSAL] = error
            return self._report_error(environ, started)
        finally:
            self._concurrency.leave(id(environ))

    def _admit(self, environ: Environ, path: str) -> None:
        """Authenticate the client, and count the request against its limits.

        Raises:
            UnknownToken, TooManyRequests, Overloaded: the request is refused.
        """
        client: str = environ.get("REMOTE_ADDR", "")
        if ":" in client:
            client = client_network(client)
        if self._is_keyed and not _needs_no_key(path):
            client = environ[CLIENT] = self._authenticate(environ)
        if self._rate is not None:
            self._rate.take(client)
        self._concurrency.enter(id(environ), client)

    def _authenticate(self, environ: Environ) -> str:
        key = key_of(environ)
        name = self._keys.name_of(key) or self._administrators.name_of(key)
        if name is None:
            if self._rate is not None:
                # Wrong keys count against the address, which limits guessing.
                self._rate.take(client_network(environ.get("REMOTE_ADDR", "")))
            raise UnknownToken("a key is needed here")
        return name

    def _read_body(
        self, environ: Environ, start_response: Callable[..., Any], path: str
    ) -> Iterable[bytes]:
        """Read the whole body, then handle the request.

        Never more than the limit is read, whatever length the request declares.

        Raises:
            LimitExceeded: the body is, or is declared, longer than the limit.
            BadInput: it is shorter than declared.
            Overloaded: large bodies hold all their memory, or no inference slot became free.
        """
        declared = environ.get("CONTENT_LENGTH")
        if declared is None and "HTTP_TRANSFER_ENCODING" not in environ:
            return self._application(environ, start_response)
        stream, most = environ["wsgi.input"], self._limits.body_bytes
        length = _length(declared, most) if declared else most + 1
        if declared and length <= _LARGE_BYTES:
            # A stream that ends by itself is read faster without a length.
            terminated = environ.get("wsgi.input_terminated")
            body = stream.read() if terminated else stream.read(length)
            return self._handle(environ, start_response, path, body, length)
        with self._concurrency.holding() as hold:
            body = _read_chunks(stream, length, hold)
            if len(body) > most:
                raise LimitExceeded("the body", expected=f"at most {most} bytes", found="more")
            expected = length if declared else len(body)
            return self._handle(environ, start_response, path, body, expected)

    def _handle(
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
            return self._application(environ, start_response)
        try:
            self._inference_slots.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise Overloaded(f"no inference slot became free within {WAIT_SECONDS:.0f} s") from None
        try:
            return self._application(environ, start_response)
        finally:
            self._inference_slots.put(None)


def _length(declared: str, most: int) -> int:
    if not (declared.isascii() and declared.isdigit()):
        raise BadInput("Content-Length", expected="a number of bytes", found=repr(declared[:20]))
    if len(declared) > _DIGITS or int(declared) > most:
        raise LimitExceeded("the body", expected=f"at most {most} bytes", found=declared[:_DIGITS])
    return int(declared)


def _read_chunks(stream: Any, most: int, hold: Callable[[int], None]) -> bytes:
    chunks, left = [], most
    while left and (chunk := stream.read(min(left, _CHUNK_BYTES))):
        hold(len(chunk))
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _needs_no_key(path: str) -> bool:
    """Whether a path is open to everybody: pages, and the refresh of a model."""
    if path in _PAGES or path.startswith(_STATIC):
        return True
    # The number of slashes: of a model named `refresh`, nothing else is open.
    return path.endswith(_REFRESH) and path.startswith(_MODELS) and path.count("/") == 4


def _closing_connection(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Close the connection after the response, so that the client reconnects to another host."""

    def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, ("Connection", "close")], *rest)

    return started


def _log(environ: Environ, status: str, headers: list[tuple[str, str]], seconds: float) -> None:
    by_name = dict(headers)
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
            "request_id": by_name.get(REQUEST_ID, ""),
            "client": environ.get(CLIENT) or environ.get("REMOTE_ADDR", ""),
            "version": by_name.get(VERSION_HEADER),
        },
    )
