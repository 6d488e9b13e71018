"""One inference by any protocol: which version answers, and what is counted and recorded of it.

HTTP and gRPC bring their own requests, bodies and responses; all that follows from an answer is
done here, once for both.
"""

import itertools
import re
import time
import uuid
from typing import NamedTuple

from overnight.serving.challenger.router import Router
from overnight.serving.inference.codecs.content_types import CALLER, Environ, Inference
from overnight.serving.inference.codecs.v2_binary import Encoded
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.novelty import count, rows_text
from overnight.serving.prediction_log.recording import LoggedVersion
from overnight.serving.prediction_log.spool import PredictionSpool
from overnight.serving.rest.headers import CHOSEN_VERSION, CLIENT, only_explores
from overnight.serving.telemetry.metrics import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Target(NamedTuple):
    """Protocol, model, version or label, and what to do, as the path of a request names them."""

    protocol: str
    model: str
    version: str | None = None
    label: str | None = None
    verb: str = "predict"


class Answer(NamedTuple):
    """The encoded answer of a version; `unlike` names the rows that are unlike the learned ones."""

    encoded: Encoded
    version: str
    unlike: str | None


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


class Answering:
    """Answers inferences by the versions of a worker."""

    def __init__(
        self, *, router: Router, meter: Metrics, predictions: PredictionSpool | None = None
    ) -> None:
        """`predictions` records the answers of versions that have a policy for it."""
        self.ids = RequestIds()
        self._router, self._meter, self._predictions = router, meter, predictions

    def answer(
        self,
        target: Target,
        run: Inference,
        environ: Environ,
        request_id: str,
        *,
        protocol: str,
        began: float,
        body_bytes: int,
    ) -> Answer:
        """Run an inference on a version, and count and record its answer.

        Of `environ` the client is read, and the version is noted in it before it runs. `began` is
        when the request did by the clock of performance, and `body_bytes` what arrays may be
        views of.

        Raises:
            BadInput, NotServed: the inference is invalid, or no such version is loaded.
        """
        client, explores = client_of(environ), only_explores(environ)
        predictions = self._predictions
        logged: LoggedVersion | None = None

        def run_noted(loaded: ModelVersion) -> Encoded:
            nonlocal logged
            manifest = loaded.predictor.manifest
            # Noted before it runs: errors name the version, too.
            environ[CHOSEN_VERSION] = manifest.version
            is_logged = predictions is not None and manifest.logged is not None
            if not is_logged and manifest.novelty is None:
                logged = None
                return run(loaded)
            logged = LoggedVersion(loaded)
            return run(logged)

        encoded, _, route = self._router.predict(
            target.model,
            run_noted,
            version=target.version,
            label=target.label,
            client=client,
            request_id=request_id,
            caller=environ.get(CALLER, ""),
            is_recorded=not explores,
        )
        version = environ[CHOSEN_VERSION]
        seconds, at, unlike = time.perf_counter() - began, time.time(), None
        self._meter.count(target.model, version, protocol, 200, seconds, at=at)
        if logged is None:
            return Answer(encoded, version, None)
        if logged.unlike is not None:
            unlike = rows_text(logged.unlike)
            # Half a stroke is unlike every digit, and nobody asked about it.
            rows = 0 if explores else count(logged.unlike)
            self._meter.count_unlike(target.model, version, rows)
        manifest = logged.predictor.manifest
        if predictions is None or manifest.logged is None or logged.inputs is None:
            return Answer(encoded, version, unlike)
        if explores:
            predictions.skip_answer(manifest, request_id)
        else:
            predictions.offer_answer(
                manifest,
                logged.inputs,
                logged.outputs_to_record,
                request_id,
                environ.get(CALLER, ""),
                client,
                route,
                seconds,
                body_bytes,
                at,
            )
        return Answer(encoded, version, unlike)


def client_of(environ: Environ) -> str:
    """The identity of the client, by which a canary assigns it to one version.

    `X-Client-Key`, which gateways set for the clients behind them; else the name of the API key;
    else the address.
    """
    return str(
        environ.get("HTTP_X_CLIENT_KEY") or environ.get(CLIENT) or environ.get("REMOTE_ADDR", "")
    )
