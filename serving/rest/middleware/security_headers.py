"""What every answer carries besides itself, in one place: what browsers may do with it.

`Strict-Transport-Security` is not among it: TLS ends in front of this server, and only who holds
the certificate knows whether every port of this host name speaks it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import Flask, Response

# Nothing from anywhere else, nothing inline, nobody may frame it.
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
_SHOWN = "X-Model-Version, X-Request-Id, Inference-Header-Content-Length, Retry-After"
_ACCEPTED = (
    "Authorization, Content-Type, Inference-Header-Content-Length, X-API-Key, X-Client-Key, "
    "X-Request-Id"
)
_REMEMBERED_SECONDS = "600"

StartResponse = Callable[..., Any]


def install(application: Flask) -> None:
    """Protect every answer; what a route has set itself stays."""

    def protect(response: Response) -> Response:
        is_page = response.mimetype == "text/html"
        chosen = _PAGES if is_page else {"Content-Security-Policy": _OTHER_POLICY}
        for name, value in (_ALL | chosen).items():
            response.headers.setdefault(name, value)
        return response

    application.after_request(protect)


class Origins:
    """The pages elsewhere whose scripts may ask here; exact origins, and never with cookies."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def telling(self, origin: str, start_response: StartResponse) -> StartResponse:
        """Let an answer say that this origin may read it, when it may."""
        told = [("Vary", "Origin")]
        if origin in self._allowed:
            told += [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Expose-Headers", _SHOWN),
            ]

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *told], *rest)

        return started

    def is_preflight(self, environ: dict[str, Any]) -> bool:
        """Whether a browser asks before it asks; it cannot send a key with that."""
        asks = environ["REQUEST_METHOD"] == "OPTIONS"
        return (
            asks
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
            and environ["HTTP_ORIGIN"] in self._allowed
        )

    def preflight(self, start_response: StartResponse) -> Iterable[bytes]:
        """Say what an allowed origin may send."""
        headers = [
            ("Access-Control-Allow-Methods", "GET, POST, DELETE"),
            ("Access-Control-Allow-Headers", _ACCEPTED),
            ("Access-Control-Max-Age", _REMEMBERED_SECONDS),
        ]
        start_response("204 No Content", headers)
        return []
