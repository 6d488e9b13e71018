"""Prometheus' text format, for all workers of the host, whichever of them is asked."""

import math
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, request

from overnight.serving.challenger import status
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.serving.rest.headers import CHOSEN_VERSION
from overnight.serving.rest.resources import resources
from overnight.serving.telemetry import metrics

routes = Blueprint("metrics", __name__)

COUNTED = {"v2.infer": "v2", "v1.predict": "v1"}


def install(application: Flask, meter: metrics.Metrics) -> None:
    """Count every inference request that failed; the fast path counts the others."""

    def end(response: Response) -> Response:
        protocol = COUNTED.get(request.endpoint or "")
        if protocol and request.view_args:
            version = request.environ.get(CHOSEN_VERSION, "")
            # Names that clients made up are not remembered.
            named = request.view_args["model"]
            is_ours = version or any(slot.model == named for slot in resources().slots.all())
            model = named if is_ours else ""
            meter.count(model, version, protocol, response.status_code, 0.0)
        return response

    application.after_request(end)


@routes.get("/metrics")
def all_metrics() -> Response:
    workers = resources().status.snapshots()
    counted = (*metrics.told(workers), *status.counters(workers))
    body = "\n".join([*counted, *metrics.told_of_workers(workers), *_gauges(), ""])
    return Response(body, content_type="text/plain; version=0.0.4; charset=utf-8")


def _gauges() -> Iterator[str]:
    every = resources().slots.all()
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
            for slot in every
            if (current := slot.current())
        ],
    )
    yield from metrics.gauges(
        "overnight_last_sync_age_seconds",
        "Seconds since the aliases were last read from the store.",
        [
            (_of(slot), age)
            for slot in every
            if (age := slot.board.last_sync_age_seconds) is not None
        ],
    )
    yield from metrics.gauges(
        "overnight_store_errors",
        "1 while the last request to the store failed, else 0.",
        [(_of(slot), float(bool(resources().status.known(slot.model).trouble))) for slot in every],
    )
    yield from metrics.gauges(
        "overnight_refused_versions",
        "Versions that this host refused: no trusted signature, or not loadable.",
        [sample for slot in every for sample in _refused(slot)],
    )
    yield from metrics.gauges(
        "overnight_live_score",
        "Score of the champion on the newest arrival, before training on it.",
        [sample for slot in every for sample in _live(slot)],
    )
    challenges = (resources().status.challenge(slot.model) for slot in every)
    yield from status.gauges(one for one in challenges if one is not None)


def _live(slot: ModelSlot) -> Iterator[tuple[dict[str, str], float]]:
    """The newest score of the version that answers, by metric; nothing while it has none."""
    current = slot.current()
    if current is None:
        return
    scores = resources().status.past(slot.model).scores
    mine = (one for one in scores if one.version == current.version)
    newest = next((one for one in mine if one.headline is not None), None)
    for measured in newest.measurements if newest else ():
        if math.isfinite(measured.value):
            labels = _of(slot) | {"version": current.version, "metric": measured.metric}
            yield labels, measured.value


def _refused(slot: ModelSlot) -> Iterator[tuple[dict[str, str], float]]:
    untrusted = [one.untrusted for one in resources().status.known(slot.model).refused]
    for reason, is_untrusted in (("untrusted", True), ("unfit", False)):
        yield _of(slot) | {"reason": reason}, float(untrusted.count(is_untrusted))


def _of(slot: ModelSlot) -> dict[str, str]:
    return {"model": slot.model}
