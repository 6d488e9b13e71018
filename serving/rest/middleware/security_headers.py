"""Security headers of every response (CSP, framing, referrer), and CORS.

`Strict-Transport-Security` is left to the proxy that terminates TLS: only there it is known
whether every port of the host name speaks TLS.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import Flask, Response

# Nothing from other origins, nothing inline, no framing.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OTHER_POLICY = "default-src 'none'; frame-ancestors 'none'"
_ALL = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGES = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_EXPOSED_HEADERS = (
    "X-Model-Version, X-Request-Id, X-Input-Unlike-Training, Inference-Header-Content-Length, "
    "Retry-After"
)
_ALLOWED_HEADERS = (
    "Authorization, Content-Type, Inference-Header-Content-Length, X-API-Key, X-Client-Key, "
    "X-Prediction-Log, X-Request-Id"
)
_PREFLIGHT_CACHE_SECONDS = "600"

StartResponse = Callable[..., Any]


def install(application: Flask) -> None:
    """Add the headers to every response; those that a route has set are kept."""

    def add_headers(response: Response) -> Response:
        is_page = response.mimetype == "text/html"
        policy = _PAGES if is_page else {"Content-Security-Policy": _OTHER_POLICY}
        for name, value in (_ALL | policy).items():
            response.headers.setdefault(name, value)
        return response

    application.after_request(add_headers)


class Origins:
    """CORS: exact origins whose scripts may send requests, never with cookies."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def allow(self, origin: str, start_response: StartResponse) -> StartResponse:
        """Let scripts of this origin read the response, if it is an allowed one."""
        cors = [("Vary", "Origin")]
        if origin in self._allowed:
            cors += [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Expose-Headers", _EXPOSED_HEADERS),
            ]

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *cors], *rest)

        return started

    def is_preflight(self, environ: dict[str, Any]) -> bool:
        """Whether this is the preflight of an allowed origin; browsers send it without a key."""
        return (
            environ["REQUEST_METHOD"] == "OPTIONS"
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
            and environ["HTTP_ORIGIN"] in self._allowed
        )

    def answer_preflight(self, start_response: StartResponse) -> Iterable[bytes]:
        """The methods and headers that an allowed origin may send."""
        headers = [
            ("Access-Control-Allow-Methods", "GET, POST, DELETE"),
            ("Access-Control-Allow-Headers", _ALLOWED_HEADERS),
            ("Access-Control-Max-Age", _PREFLIGHT_CACHE_SECONDS),
        ]
        start_response("204 No Content", headers)
        return []
