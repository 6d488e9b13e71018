"""Fast path (WSGI middleware): inference requests bypass Flask.

For a small network, Flask would cost more than all other work of a request. An error is passed on
to Flask, which reports it; nothing is parsed or run a second time.
"""

import itertools
import re
import time
import uuid
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from overnight.serving.challenger.router import Router
from overnight.serving.inference.codecs import v2_binary
from overnight.serving.inference.codecs.content_types import (
    CALLER,
    JSON,
    Environ,
    codec_of,
    decoded,
)
from overnight.serving.inference.codecs.v2_binary import Encoded
from overnight.serving.inference.codecs.v2_image import RAW
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.novelty import count, rows_text
from overnight.serving.prediction_log.recording import LoggedVersion
from overnight.serving.prediction_log.spool import PredictionSpool
from overnight.serving.rest.cloud_events import EVENT, CloudEvent, event_codec, is_event
from overnight.serving.rest.headers import (
    BODY_BYTES,
    CHOSEN_VERSION,
    CLIENT,
    CODEC,
    NO_SNIFF,
    PROTOCOL,
    REFUSAL,
    REQUEST_ID,
    TARGET_MODEL,
    UNLIKE_HEADER,
    VERSION_HEADER,
    Application,
    hold_of,
    only_explores,
)
from overnight.serving.rest.invoked_model import INVOCATIONS, invoked_model
from overnight.serving.telemetry.metrics import Metrics
from overnight.store.predictions.records import Route

# The same paths as the rules of `routes/v2.py` and `routes/v1.py`.
_V2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer/?")
_V1 = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/([^/:]+)|/labels/([^/:]+))?:(predict|classify)/?"
)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Most requests go to few paths, and a lookup costs a twentieth of parsing.
_CACHED_PATHS = 256


class Target(NamedTuple):
    """Protocol, model, version or label, and what to do, as the path of a request names them."""

    protocol: str
    model: str
    version: str | None = None
    label: str | None = None
    verb: str = "predict"


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


def client_of(environ: Environ) -> str:
    """The identity of the client, by which a canary assigns it to one version.

    `X-Client-Key`, which gateways set for the clients behind them; else the name of the API key;
    else the address.
    """
    return str(
        environ.get("HTTP_X_CLIENT_KEY") or environ.get(CLIENT) or environ.get("REMOTE_ADDR", "")
    )


class RequestIds:
    """Request ids: the client's own if valid, else a new one, which is unique and cheap."""

    def __init__(self) -> None:
        self._prefix = uuid.uuid4().hex[:20]
        # `next` of a counter is atomic, so that threads share it without a lock.
        self._numbers = itertools.count(1)

    def choose(self, sent: str) -> str:
        if sent and _REQUEST_ID.fullmatch(sent):
            return sent
        return f"{self._prefix}{next(self._numbers):012x}"


class FastPath:
    """Handles inference requests; passes all other requests and every error to Flask."""

    def __init__(
        self,
        application: Application,
        *,
        router: Router,
        limits: Limits,
        meter: Metrics,
        ids: RequestIds,
        predictions: PredictionSpool | None = None,
        invocations_model: str = "",
    ) -> None:
        """`application` handles all other requests, and reports the error in `environ[REFUSAL]`.

        `predictions` records the answers of versions that have a policy for it, and
        `invocations_model` answers requests that name no model.
        """
        self._invocations_model = invocations_model
        self._application = application
        self._router, self._limits = router, limits
        self._meter, self._ids, self._predictions = meter, ids, predictions

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start = time.perf_counter()
        target = target_of(environ["PATH_INFO"])
        if target is None or environ["REQUEST_METHOD"] != "POST":
            return self._application(environ, start_response)
        request_id = environ["HTTP_X_REQUEST_ID"] = self._ids.choose(
            environ.get("HTTP_X_REQUEST_ID", "")
        )
        try:
            if target is INVOCATION:
                target = self._invoked(environ)
            client, explores = client_of(environ), only_explores(environ)
            encoded, logged, route = self._infer(
                target, environ, request_id, client, is_recorded=not explores
            )
        except Exception as error:  # noqa: BLE001 - Flask logs and reports it
            environ[REFUSAL] = error
            return self._application(environ, start_response)
        version = environ[CHOSEN_VERSION]
        body, headers = _response(encoded, environ, request_id, target.model)
        headers += (
            ("Content-Length", str(len(body))),
            (VERSION_HEADER, version),
            (REQUEST_ID, request_id),
            NO_SNIFF,
        )
        if logged is not None and logged.unlike is not None:
            headers += ((UNLIKE_HEADER, rows_text(logged.unlike)),)
            # Half a stroke is unlike every digit, and nobody asked about it.
            rows = 0 if explores else count(logged.unlike)
            self._meter.count_unlike(target.model, version, rows)
        start_response("200 OK", headers)
        seconds = time.perf_counter() - start
        protocol = environ.get(PROTOCOL, target.protocol)
        self._meter.count(target.model, version, protocol, 200, seconds)
        if logged is None or logged.inputs is None or self._predictions is None:
            return [body]
        if logged.manifest.logged is None:
            return [body]
        if explores:
            self._predictions.skip_answer(logged.manifest, request_id)
        else:
            self._predictions.offer_answer(
                logged.manifest,
                logged.inputs,
                logged.outputs_to_record,
                request_id,
                environ.get(CALLER, ""),
                client,
                route,
                seconds,
                environ[BODY_BYTES],
            )
        return [body]

    def _invoked(self, environ: Environ) -> Target:
        """The target of a request whose path names no model."""
        model, version = invoked_model(environ, self._router.slots, self._invocations_model)
        environ[TARGET_MODEL] = model
        return INVOCATION._replace(model=model, version=version)

    def _infer(
        self, target: Target, environ: Environ, request_id: str, client: str, *, is_recorded: bool
    ) -> tuple[Encoded, LoggedVersion | None, Route]:
        """Decode the body and run it on a version, by a route; keep the call that is to be logged.

        Raises:
            BadInput, NotServed: the body is invalid, or no such version is loaded.
        """
        protocol, model, version, label, verb = target
        codec = environ.get(CODEC) or (
            event_codec(protocol, verb)
            if is_event(environ)
            else codec_of(protocol, environ.get("CONTENT_TYPE", ""), verb)
        )
        # Without a length there is no body, and reading would block on some servers.
        body = environ["wsgi.input"].read() if environ.get("CONTENT_LENGTH") else b""
        if "HTTP_CONTENT_ENCODING" in environ:
            body = decoded(
                body,
                environ["HTTP_CONTENT_ENCODING"],
                self._limits,
                hold=hold_of(environ),
            )
        run = codec(body, environ, self._limits)
        environ[BODY_BYTES] = len(body)
        logged: LoggedVersion | None = None

        def run_noted(loaded: ModelVersion) -> Encoded:
            nonlocal logged
            manifest = loaded.predictor.manifest
            # Noted before it runs: errors name the version, too.
            environ[CHOSEN_VERSION] = manifest.version
            is_logged = self._predictions is not None and manifest.logged is not None
            if not is_logged and manifest.novelty is None:
                logged = None
                return run(loaded)
            logged = LoggedVersion(loaded)
            return run(logged)

        encoded, _, route = self._router.predict(
            model,
            run_noted,
            version=version,
            label=label,
            client=client,
            request_id=request_id,
            caller=environ.get(CALLER, ""),
            is_recorded=is_recorded,
        )
        return encoded, logged, route


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
