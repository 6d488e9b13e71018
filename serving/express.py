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

import orjson

from serving.limits import Limits
from serving.metrics import Meter
from serving.protocols import v1, v2
from serving.slots import Loaded, Slots

JSON = "application/json"
VERSION_HEADER = "X-Model-Version"
REQUEST_ID = "X-Request-Id"
ALWAYS = ("X-Content-Type-Options", "nosniff")

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answering = Callable[[dict[str, Any], Loaded, Limits], dict[str, Any]]

_PATH = re.compile(r"/v2/models/([a-z0-9-]+)/infer|/v1/models/([a-z0-9-]+):predict")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LANES: tuple[tuple[str, Answering], ...] = (("v2", v2.answer), ("v1", v1.answer))


def client_of(environ: Environ) -> str:
    """Who asks, as far as it says so: `overnight.client` of its key, else the address it has."""
    return str(environ.get("overnight.client") or environ.get("REMOTE_ADDR", ""))


class RequestIds:
    """The caller's own id when it is decent, else one of ours; unique, and cheap to make."""

    def __init__(self) -> None:
        self._prefix = uuid.uuid4().hex[:20]
        self._numbers = itertools.count(1)

    def of(self, asked: str) -> str:
        if asked and _REQUEST_ID.fullmatch(asked):
            return asked
        return f"{self._prefix}{next(self._numbers):012x}"


class _Unusual(Exception):
    """A request whose answer has another form."""


class Express:
    """A WSGI application in front of Flask's."""

    def __init__(
        self, behind: Application, *, slots: Slots, limits: Limits, meter: Meter, ids: RequestIds
    ) -> None:
        self._behind = behind
        self._slots, self._limits = slots, limits
        self._meter, self._ids = meter, ids

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.perf_counter()
        path = _PATH.fullmatch(environ["PATH_INFO"])
        if path is None or not self._is_usual(environ):
            return self._behind(environ, start_response)
        body = environ["wsgi.input"].read()
        lane = (path.lastindex or 1) - 1
        protocol, answering = _LANES[lane]
        model = path[lane + 1]
        try:
            if b'"binary_data' in body:
                raise _Unusual
            asked = orjson.loads(body)
            # Whoever has to wait for a version waits in Flask, once.
            answer, loaded = self._slots.find(model).answered(
                lambda loaded: orjson.dumps(
                    answering(asked, loaded, self._limits), option=orjson.OPT_SERIALIZE_NUMPY
                ),
                client=client_of(environ),
                wait_seconds=0,
            )
        except Exception:  # noqa: BLE001 - Flask meets it again, words it and logs it
            environ["wsgi.input"] = io.BytesIO(body)
            return self._behind(environ, start_response)
        headers = [
            ("Content-Type", JSON),
            ("Content-Length", str(len(answer))),
            (VERSION_HEADER, loaded.version),
            (REQUEST_ID, self._ids.of(environ.get("HTTP_X_REQUEST_ID", ""))),
            ALWAYS,
        ]
        start_response("200 OK", headers)
        self._meter.count(model, loaded.version, protocol, 200, time.perf_counter() - began)
        return [answer]

    def _is_usual(self, environ: Environ) -> bool:
        """A POST that says it is JSON, and how long it is."""
        length = environ.get("CONTENT_LENGTH", "")
        return (
            environ["REQUEST_METHOD"] == "POST"
            and "HTTP_INFERENCE_HEADER_CONTENT_LENGTH" not in environ
            and environ.get("CONTENT_TYPE") == JSON
            and length.isdigit()
            and int(length) <= self._limits.body_bytes
        )
