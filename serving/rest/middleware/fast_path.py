"""Fast path (WSGI middleware): inference requests bypass Flask.

For a small network, Flask would cost more than all other work of a request. An error is passed on
to Flask, which reports it; nothing is parsed or run a second time.
"""

import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from overnight.serving.inference.codecs import v2_binary
from overnight.serving.inference.codecs.content_types import (
    JSON,
    Environ,
    codec_of,
    decoded,
)
from overnight.serving.inference.codecs.v2_binary import Encoded
from overnight.serving.inference.codecs.v2_image import RAW
from overnight.serving.inference.limits import Limits
from overnight.serving.lifecycle.model_slots import ModelSlots
from overnight.serving.rest.answering import Answering, Target
from overnight.serving.rest.cloud_events import EVENT, CloudEvent, event_codec, is_event
from overnight.serving.rest.headers import (
    NO_SNIFF,
    REFUSAL,
    REQUEST_ID,
    TARGET_MODEL,
    UNLIKE_HEADER,
    VERSION_HEADER,
    Application,
    hold_of,
)
from overnight.serving.rest.invoked_model import INVOCATIONS, invoked_model

# The same paths as the rules of `routes/v2.py` and `routes/v1.py`.
_V2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer/?")
_V1 = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/([^/:]+)|/labels/([^/:]+))?:(predict|classify)/?"
)

# Most requests go to few paths, and a lookup costs a twentieth of parsing.
_CACHED_PATHS = 256


# The path does not name the model: see `invoked_model`.
INVOCATION = Target("invocations", "")


@lru_cache(_CACHED_PATHS)
def target_of(path: str) -> Target | None:
    """The target of an inference request; None for any other path."""
    if not path.isascii():
        # WSGI (PEP 3333) passes the bytes of a path decoded as Latin-1.
        path = path.encode("latin-1").decode(errors="replace")
    if parts := _V2.fullmatch(path):
        return Target("v2", *parts.groups())
    if parts := _V1.fullmatch(path):
        return Target("v1", *parts.groups())
    return INVOCATION if path in {INVOCATIONS, f"{INVOCATIONS}/"} else None


class FastPath:
    """Handles inference requests; passes all other requests and every error to Flask."""

    def __init__(
        self,
        application: Application,
        *,
        answering: Answering,
        slots: ModelSlots,
        limits: Limits,
        invocations_model: str = "",
    ) -> None:
        """`application` handles all other requests, and reports the error in `environ[REFUSAL]`.

        `invocations_model` answers requests that name no model.
        """
        self._invocations_model = invocations_model
        self._application = application
        self._answering, self._slots = answering, slots
        self._limits, self._ids = limits, answering.ids

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.perf_counter()
        target = target_of(environ["PATH_INFO"])
        if target is None or environ["REQUEST_METHOD"] != "POST":
            return self._application(environ, start_response)
        request_id = environ["HTTP_X_REQUEST_ID"] = self._ids.choose(
            environ.get("HTTP_X_REQUEST_ID", "")
        )
        try:
            if target is INVOCATION:
                target = self._invoked(environ)
            body = self._body(environ)
            codec = (
                event_codec(target.protocol, target.verb)
                if is_event(environ)
                else codec_of(target.protocol, environ.get("CONTENT_TYPE", ""), target.verb)
            )
            answer = self._answering.answer(
                target,
                codec(body, environ, self._limits),
                environ,
                request_id,
                protocol=target.protocol,
                began=began,
                body_bytes=len(body),
            )
        except Exception as error:  # noqa: BLE001 - Flask logs and reports it
            environ[REFUSAL] = error
            return self._application(environ, start_response)
        body, headers = _response(answer.encoded, environ, request_id, target.model)
        headers += (
            ("Content-Length", str(len(body))),
            (VERSION_HEADER, answer.version),
            (REQUEST_ID, request_id),
            NO_SNIFF,
        )
        if answer.unlike is not None:
            headers.append((UNLIKE_HEADER, answer.unlike))
        start_response("200 OK", headers)
        return [body]

    def _invoked(self, environ: Environ) -> Target:
        """The target of a request whose path names no model."""
        model, version = invoked_model(environ, self._slots, self._invocations_model)
        environ[TARGET_MODEL] = model
        return INVOCATION._replace(model=model, version=version)

    def _body(self, environ: Environ) -> bytes:
        # Without a length there is no body, and reading would block on some servers.
        body: bytes = environ["wsgi.input"].read() if environ.get("CONTENT_LENGTH") else b""
        if "HTTP_CONTENT_ENCODING" not in environ:
            return body
        encoding = environ["HTTP_CONTENT_ENCODING"]
        return decoded(body, encoding, self._limits, hold=hold_of(environ))


def _response(
    encoded: Encoded, environ: Environ, request_id: str, model: str
) -> tuple[bytes, list[tuple[str, str]]]:
    """The body and the headers of its form; of an event where the request was one."""
    content_type = JSON if encoded[1] is None else RAW
    headers = [("Content-Type", content_type)]
    if EVENT in environ:
        event: CloudEvent = environ[EVENT]
        encoded, headers = event.reply(encoded, content_type, request_id=request_id, model=model)
    body, json_length = encoded
    if json_length is not None:
        headers.append((v2_binary.HEADER, str(json_length)))
    return body, headers
