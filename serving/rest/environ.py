"""The WSGI environ (PEP 3333) of a request that the server hands over as an RSGI scope.

A header whose name has an underscore would have the same environ key as another header: `X_API_KEY`
would be `X-API-Key`, which a proxy in front may check or remove. Such headers are left out.
"""

import re
import sys
from functools import lru_cache
from typing import Any

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs.content_types import Environ
from overnight.serving.rest.headers import REFUSAL

BASE: Environ = {
    "SCRIPT_NAME": "",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}
# HTTP/1.0 knows no such header; granian calls it 1.
_WITHOUT_HOST = frozenset({"1", "1.0"})
# The characters of a name, an address or an IPv6 address, and of a port (RFC 3986); empty where the
# target of the request names no host.
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
# Of two of these, a proxy might look at one and this server at the other.
_SINGLE = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "inference-header-content-length",
        "origin",
        "transfer-encoding",
        "x-amzn-sagemaker-custom-attributes",
        "x-amzn-sagemaker-target-model",
        "x-api-key",
        "x-client-key",
        "x-request-id",
    }
)


def environ_of(scope: Any) -> Environ:
    """The environ, without a body yet; a header that came twice and must not is in `REFUSAL`."""
    server, _, port = scope.server.rpartition(":")
    environ = BASE | {
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "REQUEST_METHOD": scope.method,
        # WSGI wants the bytes of a path, decoded as Latin-1.
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "wsgi.url_scheme": scope.scheme,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = _key_of(name)
        if key not in environ:
            environ[key] = value
            continue
        environ[key] = f"{environ[key]},{value}"
        if name in _SINGLE:
            environ[REFUSAL] = BadInput(name, expected="one header of this name", found="several")
    host = environ.setdefault("HTTP_HOST", scope.authority)
    if host is None or not _is_host(host):
        # RFC 9112: who forwards and who answers would take it for different servers.
        environ["HTTP_HOST"] = ""
        if host is not None or scope.http_version not in _WITHOUT_HOST:
            sent = "none" if host is None else repr(host[:80])
            environ[REFUSAL] = BadInput("Host", expected="one host name", found=sent)
    return environ


@lru_cache(1_000)
def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None


@lru_cache(1_000)
def _key_of(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in {"CONTENT_LENGTH", "CONTENT_TYPE"} else f"HTTP_{key}"
