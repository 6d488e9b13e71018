"""Compression of answers (WSGI middleware): gzip, where the client takes it and it pays.

Raw tensors are left alone: numbers hardly get shorter. `Vary` is on every answer to GET that could
have been compressed (RFC 9110), so that no cache hands a compressed one to who cannot read it.
"""

import gzip
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from overnight.serving.inference.codecs.content_types import Environ
from overnight.serving.rest.headers import Application

# Shorter ones fit into one or two packets anyway, and cost more time than they save.
LEAST_BYTES = 2_048
# A tenth of the time of the default, for answers a few percent longer.
_LEVEL = 1
_KINDS = ("application/json", "application/problem+json", "image/svg+xml", "text/")
# JavaScript is `text/javascript` in Python's table.
_NEVER = frozenset({"content-encoding", "content-range"})

_Headers = list[tuple[str, str]]


class Compression:
    """Compresses answers of the application behind it."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        accepted = environ.get("HTTP_ACCEPT_ENCODING", "")
        if not accepted and environ["REQUEST_METHOD"] != "GET":
            return self._application(environ, start_response)
        started: list[tuple[str, _Headers]] = []
        parts = self._application(
            environ, lambda status, headers, *_: started.append((status, headers))
        )
        try:
            body = b"".join(parts)
        finally:
            if (close := getattr(parts, "close", None)) is not None:
                close()
        status, headers = started[-1]
        if len(body) >= LEAST_BYTES and _is_compressible(headers):
            if takes_gzip(accepted):
                body = gzip.compress(body, _LEVEL, mtime=0)
                headers = _of_compressed(headers, len(body))
            headers = [*headers, ("Vary", "Accept-Encoding")]
        start_response(status, headers)
        return [body]


@lru_cache(256)
def takes_gzip(accepted: str) -> bool:
    """Whether an `Accept-Encoding` has gzip, or anything, at more than no preference."""
    weights: dict[str, float] = {}
    for each in accepted.lower().split(","):
        name, _, parameter = each.partition(";")
        weight = parameter.strip().removeprefix("q=") if parameter.strip() else "1"
        try:
            weights[name.strip()] = float(weight)
        except ValueError:
            return False
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _is_compressible(headers: _Headers) -> bool:
    by_name = {name.lower(): value for name, value in headers}
    return by_name.get("content-type", "").startswith(_KINDS) and _NEVER.isdisjoint(by_name)


def _of_compressed(headers: _Headers, size: int) -> _Headers:
    """The headers of a compressed answer; the tag of the plain one is no longer of these bytes."""
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    weak = [
        (name, f"W/{value}" if name.lower() == "etag" and not value.startswith("W/") else value)
        for name, value in kept
    ]
    return [*weak, ("Content-Encoding", "gzip"), ("Content-Length", str(size))]
