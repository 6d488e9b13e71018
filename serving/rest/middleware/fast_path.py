"""Fast path (WSGI middleware): every inference request, from bytes to bytes, without Flask.

Flask spends more on a small network's request than everything else does together. A failure is
handed on to it as an error to be reported; nothing is read or inferred a second time.
"""

import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from overnight.serving.challenger.router import Router
from overnight.serving.inference.codecs import v2_binary
from overnight.serving.inference.codecs.content_types import JSON, Environ, codec_of, decoded
from overnight.serving.inference.codecs.v2_binary import Encoded
from overnight.serving.inference.codecs.v2_image import RAW
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.rest.headers import (
    ALWAYS,
    MET_VERSION,
    REFUSAL,
    REQUEST_ID,
    VERSION_HEADER,
    Application,
    RequestIds,
    client_of,
)
from overnight.serving.telemetry.metrics import Metrics

# The same addresses as the rules of `routes/v2.py` and `routes/v1.py`.
_V2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer/?")
_V1 = re.compile(r"/v1/models/([^/]+)(?:/versions/([^/]+)|/labels/([^/]+))?:predict/?")


# Most requests go to few addresses, and looking one up costs a twentieth of taking it apart.
_REMEMBERED_ADDRESSES = 256


class Target(NamedTuple):
    """What the address of an inference request names."""

    protocol: str
    model: str
    version: str | None = None
    label: str | None = None


@lru_cache(_REMEMBERED_ADDRESSES)
def target_of(path: str) -> Target | None:
    """The target of an inference request; None for any other address."""
    if not path.isascii():
        # WSGI hands on the bytes of an address as Latin-1.
        path = path.encode("latin-1").decode(errors="replace")
    if parts := _V2.fullmatch(path):
        return Target("v2", *parts.groups())
    if parts := _V1.fullmatch(path):
        return Target("v1", *parts.groups())
    return None


class FastPath:
    """Answers inference requests, and hands everything else and every failure to Flask."""

    def __init__(
        self,
        behind: Application,
        *,
        router: Router,
        limits: Limits,
        meter: Metrics,
        ids: RequestIds,
    ) -> None:
        """`behind` answers everything else, and reports the error in `environ[REFUSAL]`."""
        self._behind = behind
        self._router, self._limits = router, limits
        self._meter, self._ids = meter, ids

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.perf_counter()
        target = target_of(environ["PATH_INFO"])
        if target is None or environ["REQUEST_METHOD"] != "POST":
            return self._behind(environ, start_response)
        request_id = environ["HTTP_X_REQUEST_ID"] = self._ids.of(
            environ.get("HTTP_X_REQUEST_ID", "")
        )
        try:
            answer, json_length = self._answered(target, environ, request_id)
        except Exception as error:  # noqa: BLE001 - logged and reported behind, whatever it is
            environ[REFUSAL] = error
            return self._behind(environ, start_response)
        version = environ[MET_VERSION]
        headers = [
            ("Content-Type", JSON if json_length is None else RAW),
            ("Content-Length", str(len(answer))),
            (VERSION_HEADER, version),
            (REQUEST_ID, request_id),
            ALWAYS,
        ]
        if json_length is not None:
            headers.append((v2_binary.HEADER, str(json_length)))
        start_response("200 OK", headers)
        seconds = time.perf_counter() - began
        self._meter.count(target.model, version, target.protocol, 200, seconds)
        return [answer]

    def _answered(self, target: Target, environ: Environ, request_id: str) -> Encoded:
        """Read the body, then have a version answer it.

        Raises:
            BadInput, NotServed: it is not what its headers say, or no such version is loaded.
        """
        protocol, model, version, label = target
        lane = codec_of(protocol, environ.get("CONTENT_TYPE", ""))
        # Without a length there is no body, and some servers' streams would wait for one.
        body = environ["wsgi.input"].read() if environ.get("CONTENT_LENGTH") else b""
        if "HTTP_CONTENT_ENCODING" in environ:
            body = decoded(body, environ["HTTP_CONTENT_ENCODING"], self._limits)
        answering = lane(body, environ, self._limits)

        def noting(loaded: ModelVersion) -> Encoded:
            # Whichever version a request meets is named also when it fails there.
            environ[MET_VERSION] = loaded.version
            return answering(loaded)

        encoded, _ = self._router.predict(
            model,
            noting,
            version=version,
            label=label,
            client=client_of(environ),
            request_id=request_id,
        )
        return encoded
