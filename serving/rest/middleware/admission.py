"""Admission control: authentication, rate and concurrency limits.

The head of a request is admitted (`admit`) before its body is received; then, as WSGI middleware,
the whole request waits for one of the few inference slots. Refusals are reported by Flask, like
all other errors.
"""

import logging
import queue
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from werkzeug.exceptions import NotFound

from overnight.serving.errors import BadInput, Overloaded, UnknownToken
from overnight.serving.host.shared_memory import DrainFlag
from overnight.serving.inference.codecs.content_types import Environ
from overnight.serving.inference.limits import Limits
from overnight.serving.rest.headers import (
    ADMITTED,
    CLIENT,
    CLIENT_KEY_CHARACTERS,
    REFUSAL,
    REQUEST_ID,
    SLOT,
    VERSION_HEADER,
    Application,
)
from overnight.serving.rest.invoked_model import INVOCATIONS
from overnight.serving.rest.middleware.client_address import TrustedProxies
from overnight.serving.rest.middleware.container_routes import (
    ContainerRoutes,
    rename_path,
)
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
HEALTH = frozenset(
    {"/v2/health/live", "/v2/health/ready", "/livez", "/readyz", "/ping", "/health", "/metrics"}
)
# Pages hold no data of models, and a browser cannot send a key when it opens one.
_PAGES = frozenset({"/", "/docs", "/favicon.ico", "/api/openapi.json"})
_STATIC = "/static/"
_MODELS, _REFRESH = "/api/models/", "/refresh"
_PROTOCOLS = ("/v1/", "/v2/", INVOCATIONS)
_RELATIVE = frozenset({"", ".", ".."})
_DOTS = (["."], [".."])
WAIT_SECONDS = 30.0

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Admission:
    """Keys of clients, the proxies in front, and origins of other sites whose scripts may send.

    `routes` are further paths of health checks and of predictions.
    """

    keys: Tokens = NO_TOKENS
    origins: tuple[str, ...] = ()
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    log_requests: bool = False
    draining: DrainFlag = field(default_factory=DrainFlag)
    routes: ContainerRoutes = field(default_factory=dict)


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
        self._draining = admission.draining
        self._keys, self._administrators = admission.keys, administrators
        self._is_keyed = admission.keys.configured
        self._origins = Origins(admission.origins) if admission.origins else None
        self._proxies = admission.proxies
        self._log_requests, self._routes = admission.log_requests, admission.routes
        self._concurrency = concurrency
        self._rate = RateLimiter(limits.per_second) if limits.per_second else None
        self._inference_slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(limits.answering):
            self._inference_slots.put(None)

    def take_slot(self) -> bool:
        """Take an inference slot for a request with `SLOT`, if one is free now."""
        try:
            self._inference_slots.get_nowait()
        except queue.Empty:
            return False
        return True

    def return_slot(self) -> None:
        """Give an inference slot back."""
        self._inference_slots.put(None)

    def holding(self) -> AbstractContextManager[Callable[[int], None]]:
        """Reserve memory for a large body: see `ConcurrencyLimiter.holding`."""
        return self._concurrency.holding()

    def admit(self, environ: Environ) -> None:
        """Decide by the head of a request, once; `ADMITTED` is the client that is limited.

        Raises:
            NotFound: nothing has this path.
            UnknownToken, TooManyRequests: the client may not send it, or not now.
            BadInput: the head contradicts itself.
        """
        if REFUSAL in environ:
            raise environ.pop(REFUSAL)
        if self._routes:
            rename_path(environ, self._routes)
        key = environ.get("HTTP_X_CLIENT_KEY", "")
        if len(key) > CLIENT_KEY_CHARACTERS:
            expected = f"at most {CLIENT_KEY_CHARACTERS} characters"
            raise BadInput("X-Client-Key", expected=expected, found=f"{len(key)}")
        path, forwarded = environ["PATH_INFO"], environ.get("HTTP_X_FORWARDED_FOR", "")
        client: str = environ.get("REMOTE_ADDR", "")
        if forwarded:
            # Before anything else: all limits and the log go by the client.
            client = environ["REMOTE_ADDR"] = self._proxies.client(client, forwarded)
        if ":" in client:
            client = client_network(client)
        environ[ADMITTED] = client
        if path in HEALTH or self._is_preflight(environ):
            return
        _check_path(path)
        if self._is_keyed and not _needs_no_key(path):
            environ[ADMITTED] = environ[CLIENT] = self._authenticate(environ)
        if self._rate is not None:
            self._rate.take(environ[ADMITTED])

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._origins is not None and "HTTP_ORIGIN" in environ:
            start_response = self._origins.allow(environ["HTTP_ORIGIN"], start_response)
            if self._origins.is_preflight(environ):
                return self._origins.answer_preflight(start_response)
        if self._draining.begun:
            start_response = _closing_connection(start_response)
        if self._routes and ADMITTED not in environ:
            rename_path(environ, self._routes)
        path = environ["PATH_INFO"]
        if path in HEALTH and REFUSAL not in environ:
            return self._application(environ, start_response)
        start = time.perf_counter()

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            self.log(environ, status, headers, start)
            return start_response(status, headers, *rest)

        if REFUSAL in environ:
            return self._report_error(environ, started)
        needs_slot = SLOT not in environ and path.startswith(_PROTOCOLS)
        try:
            # In tests, no server has admitted it before.
            if ADMITTED not in environ:
                self.admit(environ)
            return self.run(
                environ,
                lambda: self._application(environ, started),
                slot_seconds=WAIT_SECONDS if needs_slot else None,
            )
        except (OvernightError, NotFound) as error:
            environ[REFUSAL] = error
            return self._report_error(environ, started)

    def run(
        self, environ: Environ, answer: Callable[[], _Answer], *, slot_seconds: float | None
    ) -> _Answer:
        """Answer an admitted request as one of those in flight.

        In an inference slot, for which it waits so many seconds; without one where it is None.

        Raises:
            Overloaded: too many requests are in flight, or no inference slot became free.
        """
        self._concurrency.enter(id(environ), environ[ADMITTED])
        try:
            if slot_seconds is None:
                return answer()
            try:
                self._inference_slots.get(timeout=slot_seconds)
            except queue.Empty:
                waited = f"{slot_seconds:.0f} s"
                raise Overloaded(f"no inference slot became free within {waited}") from None
            try:
                return answer()
            finally:
                self.return_slot()
        finally:
            self._concurrency.leave(id(environ))

    def log(
        self, environ: Environ, status: str, headers: list[tuple[str, str]], began: float
    ) -> None:
        """Log a request if it failed, or all are to be logged."""
        if self._log_requests or status >= "4":
            _log(environ, status, headers, time.perf_counter() - began)

    def _is_preflight(self, environ: Environ) -> bool:
        return (
            self._origins is not None
            and "HTTP_ORIGIN" in environ
            and self._origins.is_preflight(environ)
        )

    def _authenticate(self, environ: Environ) -> str:
        key = key_of(environ)
        name = self._keys.name_of(key) or self._administrators.name_of(key)
        if name is None:
            if self._rate is not None:
                # Wrong keys count against the address, which limits guessing.
                self._rate.take(client_network(environ.get("REMOTE_ADDR", "")))
            raise UnknownToken("a key is needed here")
        return name


def _check_path(path: str) -> None:
    """Refuse every path that means another one: all that follows goes by the path as it is.

    Werkzeug strips leading slashes before it routes, so it would serve a path that none of the
    checks recognised, past the limit of concurrent inference.

    Raises:
        NotFound: it has empty or relative segments.
    """
    # Nearly every path has neither, and is not taken apart.
    if path.startswith("/") and "//" not in path and "/." not in path:
        return
    first, *middle = path.split("/")
    # The last may be empty: a path may end with a slash.
    if first or any(segment in _RELATIVE for segment in middle[:-1]) or middle[-1:] in _DOTS:
        raise NotFound


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
