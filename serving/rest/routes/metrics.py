"""Metrics of all workers of the host, in the text format of Prometheus."""

import math
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, request

from overnight.serving.challenger import status as challenge_metrics
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.serving.rest.headers import CHOSEN_VERSION, PROTOCOL, TARGET_MODEL
from overnight.serving.rest.resources import resources
from overnight.serving.telemetry import metrics
from overnight.serving.telemetry.peer_metrics import render_peers
from overnight.serving.telemetry.process_metrics import render_processes

routes = Blueprint("metrics", __name__)

_COUNTED = {"v2.infer": "v2", "v1.predict": "v1", "v1.classify": "v1"}
_COUNTED |= {"containers.invocations": "invocations"}


def install(application: Flask, meter: metrics.Metrics) -> None:
    """Count failed inference requests; the fast path counts the successful ones."""

    def end(response: Response) -> Response:
        protocol = _COUNTED.get(request.endpoint or "")
        # What else than POST is asked of them, such as OPTIONS, is no inference.
        if protocol and request.method == "POST":
            version = request.environ.get(CHOSEN_VERSION, "")
            # Names that clients invent must not become label values: their number is unbounded.
            named = request.view_args or {}
            model = named.get("model") or request.environ.get(TARGET_MODEL, "")
            if not version and all(slot.model != model for slot in resources().slots.all()):
                model = ""
            protocol = request.environ.get(PROTOCOL, protocol)
            meter.count(model, version, protocol, response.status_code, 0.0)
        return response

    application.after_request(end)


@routes.get("/metrics")
def all_metrics() -> Response:
    workers = resources().status.snapshots()
    counted = (*metrics.render_requests(workers), *challenge_metrics.counters(workers))
    logged = (*metrics.render_predictions(workers), *_spool())
    of_workers = (*metrics.render_workers(workers), *render_processes(workers))
    peers = render_peers(workers, resources().peer_metrics)
    body = "\n".join([*counted, *of_workers, *logged, *_gauges(), *peers, ""])
    return Response(body, content_type="text/plain; version=0.0.4; charset=utf-8")


def _spool() -> Iterator[str]:
    predictions = resources().predictions
    usage = None if predictions is None else predictions.usage()
    yield from metrics.gauges(
        "overnight_prediction_spool_bytes",
        "Bytes of the prediction log on this host that are not shipped.",
        [] if usage is None else [({}, usage.size_bytes)],
    )
    yield from metrics.gauges(
        "overnight_prediction_spool_age_seconds",
        "Seconds since the last record of the oldest segment that is not shipped.",
        [] if usage is None else [({}, usage.oldest_seconds)],
    )


def _gauges() -> Iterator[str]:
    slots, status = resources().slots.all(), resources().status
    yield from metrics.gauges(
        "overnight_ready",
        "1 while this host is ready.",
        [({}, float(resources().slots.ready and not resources().draining.begun))],
    )
    yield from metrics.gauges(
        "overnight_version_info",
        "The version that serves.",
        [
            ({"model": slot.model, "version": current.version}, 1.0)
            for slot in slots
            if (current := slot.current())
        ],
    )
    yield from metrics.gauges(
        "overnight_last_sync_age_seconds",
        "Seconds since the aliases were last read from the store.",
        [
            (_label(slot), age)
            for slot in slots
            if (age := slot.shared.last_sync_age_seconds) is not None
        ],
    )
    yield from metrics.gauges(
        "overnight_store_errors",
        "1 while the last request to the store failed, else 0.",
        [
            (_label(slot), float(bool(status.follower_state(slot.model).sync_error)))
            for slot in slots
        ],
    )
    yield from metrics.gauges(
        "overnight_refused_versions",
        "Versions that this host refused: no trusted signature, or not loadable.",
        [sample for slot in slots for sample in _refused_versions(slot)],
    )
    yield from metrics.gauges(
        "overnight_live_score",
        "Score of the champion on the newest arrival, before training on it.",
        [sample for slot in slots for sample in _live_scores(slot)],
    )
    challenges = (status.challenge(slot.model) for slot in slots)
    yield from challenge_metrics.gauges(filter(None, challenges))


def _live_scores(slot: ModelSlot) -> Iterator[tuple[dict[str, str], float]]:
    """The newest score of the champion, by metric."""
    current = slot.current()
    if current is None:
        return
    scores = resources().status.history(slot.model).scores
    scored = (score for score in scores if score.version == current.version and score.headline)
    newest = next(scored, None)
    for measurement in newest.measurements if newest else ():
        if math.isfinite(measurement.value):
            labels = {"version": current.version, "metric": measurement.metric}
            yield _label(slot) | labels, measurement.value


def _refused_versions(slot: ModelSlot) -> Iterator[tuple[dict[str, str], float]]:
    untrusted = [
        version.untrusted for version in resources().status.follower_state(slot.model).refused
    ]
    for reason, is_untrusted in (("untrusted", True), ("unfit", False)):
        yield _label(slot) | {"reason": reason}, float(untrusted.count(is_untrusted))


def _label(slot: ModelSlot) -> dict[str, str]:
    return {"model": slot.model}
