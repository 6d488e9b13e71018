"""The short way for the requests that are nearly all requests.

Flask spends more on a small network's request than everything else does together. So a POST to
the current version of a model goes straight from bytes to bytes here. Whatever is unusual about
one, and every failure, goes on to Flask with its body put back, and is worded there.
"""

import io
import itertools
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from serving.challenger import Router
from serving.inference.limits import Limits
from serving.lanes import JSON, Environ, lane_of
from serving.metrics import Meter
from serving.protocols import binary
from serving.protocols.image import RAW

__all__ = ["JSON", "Environ"]
VERSION_HEADER = "X-Model-Version"
REQUEST_ID = "X-Request-Id"
ALWAYS = ("X-Content-Type-Options", "nosniff")

Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_PATH = re.compile(r"/v2/models/([a-z0-9-]+)/infer|/v1/models/([a-z0-9-]+):predict")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PROTOCOLS = ("v2", "v1")


def client_of(environ: Environ) -> str:
    """Who asks, as far as it says so: a canary's share of the clients sticks to it.

    `X-Client-Key` speaks for the client behind a gateway; without it, it is the name of the
    prediction key, and without that the address.
    """
    return str(
        environ.get("HTTP_X_CLIENT_KEY")
        or environ.get("overnight.client")
        or environ.get("REMOTE_ADDR", "")
    )


class RequestIds:
    """The caller's own id when it is decent, else one of ours; unique, and cheap to make."""

    def __init__(self) -> None:
        self._prefix = uuid.uuid4().hex[:20]
        self._numbers = itertools.count(1)

    def of(self, asked: str) -> str:
        if asked and _REQUEST_ID.fullmatch(asked):
            return asked
        return f"{self._prefix}{next(self._numbers):012x}"


class Express:
    """A WSGI application in front of Flask's."""

    def __init__(
        self, behind: Application, *, router: Router, limits: Limits, meter: Meter, ids: RequestIds
    ) -> None:
        self._behind = behind
        self._router, self._limits = router, limits
        self._meter, self._ids = meter, ids

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.perf_counter()
        path = _PATH.fullmatch(environ["PATH_INFO"])
        if path is None or environ["REQUEST_METHOD"] != "POST" or not self._is_short(environ):
            return self._behind(environ, start_response)
        place = (path.lastindex or 1) - 1
        protocol, model = _PROTOCOLS[place], path[place + 1]
        lane = lane_of(protocol, environ)
        if lane is None:
            return self._behind(environ, start_response)
        request_id = self._ids.of(environ.get("HTTP_X_REQUEST_ID", ""))
        body = environ["wsgi.input"].read()
        try:
            # Whoever has to wait for a version waits in Flask, once.
            (answer, json_length), loaded = self._router.predict(
                model,
                lane(body, environ, self._limits),
                client=client_of(environ),
                request_id=request_id,
                wait_seconds=0,
            )
        except Exception:  # noqa: BLE001 - Flask meets it again, words it and logs it
            environ["wsgi.input"] = io.BytesIO(body)
            environ["HTTP_X_REQUEST_ID"] = request_id
            return self._behind(environ, start_response)
        version = loaded.version
        headers = [
            ("Content-Type", JSON if json_length is None else RAW),
            ("Content-Length", str(len(answer))),
            (VERSION_HEADER, version),
            (REQUEST_ID, request_id),
            ALWAYS,
        ]
        if json_length is not None:
            headers.append((binary.HEADER, str(json_length)))
        start_response("200 OK", headers)
        self._meter.count(model, version, protocol, 200, time.perf_counter() - began)
        return [answer]

    def _is_short(self, environ: Environ) -> bool:
        """It says how long it is, and that is within the limit."""
        length = environ.get("CONTENT_LENGTH", "")
        return length.isdecimal() and int(length) <= self._limits.body_bytes
