"""Triton's extensions of the Open Inference Protocol v2 for load generators: config and stats."""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Blueprint, Response

from overnight.serving.rest.bodies import json_response, uncached
from overnight.serving.rest.model_config import model_config
from overnight.serving.rest.resources import resources
from overnight.serving.rest.routes import v2
from overnight.serving.telemetry.metrics import WorkerCounters

routes = Blueprint("v2_statistics", __name__, url_prefix="/v2/models")

_MODEL_NAMED_LIKE_THIS = "stats"
_NANOSECONDS = 1e9
# Not measured by themselves: `compute_infer` has all the time of an answer.
_UNMEASURED = ("queue", "compute_input", "compute_output", "cache_hit", "cache_miss")


@routes.get("/<model>/config")
@routes.get("/<model>/versions/<version>/config")
def config(model: str, version: str | None = None) -> Response:
    """The configuration of the current version, or of a named one."""
    with resources().router.lease(model, version) as loaded:
        return json_response(model_config(loaded, resources().limits), loaded=loaded)


@routes.get("/stats")
def all_statistics() -> Response:
    """What all versions of all models answered."""
    models = [slot.model for slot in resources().slots.all()]
    if _MODEL_NAMED_LIKE_THIS in models:
        return v2.metadata(_MODEL_NAMED_LIKE_THIS)
    return _statistics({model: resources().router.versions(model) for model in models})


@routes.get("/<model>/stats")
def model_statistics(model: str) -> Response:
    """What all loaded versions of a model answered."""
    return _statistics({model: resources().router.versions(model)})


@routes.get("/<model>/versions/<version>/stats")
def version_statistics(model: str, version: str) -> Response:
    """What one version answered."""
    with resources().router.lease(model, version) as loaded:
        return _statistics({model: (loaded.version,)})


def _statistics(versions: Mapping[str, Iterable[str]]) -> Response:
    """Counts of all workers of this host since they started."""
    workers = list(resources().status.snapshots().values())
    stats = [
        _of_version(model, version, workers)
        for model, names in versions.items()
        for version in names
    ]
    return uncached(json_response({"model_stats": stats}))


def _of_version(model: str, version: str, workers: Iterable[WorkerCounters]) -> dict[str, Any]:
    succeeded = failed = 0
    seconds = last = 0.0
    for worker in workers:
        for count in worker.counts:
            if (count.model, count.version) == (model, version):
                succeeded += count.requests if count.status == 200 else 0
                failed += count.requests if count.status != 200 else 0
        for latency in worker.latencies:
            if (latency.model, latency.version) == (model, version):
                seconds, last = seconds + latency.seconds, max(last, latency.last_at)
    success = {"count": succeeded, "ns": int(seconds * _NANOSECONDS)}
    return {
        "name": model,
        "version": version,
        "last_inference": int(last * 1000),
        "inference_count": succeeded,
        "execution_count": succeeded,
        "inference_stats": {
            "success": success,
            "fail": {"count": failed, "ns": 0},
            "compute_infer": success,
            **{part: {"count": 0, "ns": 0} for part in _UNMEASURED},
        },
        "batch_stats": [],
    }
