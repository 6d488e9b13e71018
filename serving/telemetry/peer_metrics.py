"""Counters under the names of other servers, so that their dashboards work on this one.

Values are those of our own counters; what other servers measure and this one does not, such as
time in a queue, is left out rather than reported as 0.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from overnight.serving.telemetry.metrics import (
    BOUNDS,
    Latency,
    WorkerCounters,
    counters,
    family,
    line,
)

_MICROSECONDS = 1e6
# As Google's RPC codes name them.
_STATUS = {
    200: "OK", 400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip
_LatencyLabels = Callable[[Latency, str], dict[str, str]]


def render_peers(workers: Mapping[str, WorkerCounters], peers: tuple[str, ...]) -> Iterator[str]:
    """The lines of the named peers, of `PEERS`."""
    for peer in peers:
        yield from PEERS[peer](workers)


def _triton(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    succeeded, failed = _by_version(workers, succeeded=True), _by_version(workers, succeeded=False)
    for name, help_text, counted in (
        ("nv_inference_request_success", "Requests that were answered.", succeeded),
        ("nv_inference_request_failure", "Requests that failed.", failed),
        ("nv_inference_count", "Requests that were answered; rows are not counted.", succeeded),
        ("nv_inference_exec_count", "Requests that were answered, one run each.", succeeded),
    ):
        yield from counters(name, help_text, counted)
    micros = [
        (
            {"model": latency.model, "version": latency.version, "worker": worker},
            latency.seconds * _MICROSECONDS,
        )
        for worker, counted in workers.items()
        for latency in counted.latencies
    ]
    for name in ("nv_inference_request_duration_us", "nv_inference_compute_infer_duration_us"):
        help_text = "Microseconds of all answers; their parts are not measured."
        yield from counters(name, help_text, micros)


def _by_version(
    workers: Mapping[str, WorkerCounters], *, succeeded: bool
) -> list[tuple[dict[str, str], float]]:
    """Requests of each version of each worker, with or without success."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for worker, counted in workers.items():
        for count in counted.counts:
            if count.version:
                is_wanted = (count.status == 200) is succeeded
                sums[count.model, count.version, worker] += count.requests if is_wanted else 0
    return [
        ({"model": model, "version": version, "worker": worker}, n)
        for (model, version, worker), n in sums.items()
    ]


def _kserve(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    def labels(latency: Latency, worker: str) -> dict[str, str]:
        return {"model_name": latency.model, "version": latency.version, "worker": worker}

    help_text = "Seconds from a request's headers to its answer."
    yield from _histogram("request_predict_seconds", help_text, workers, labels, scale=1)


def _tensorflow_serving(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    sums: Counter[tuple[str, str, str]] = Counter()
    for worker, counted in workers.items():
        for count in counted.counts:
            status = _STATUS.get(count.status, "UNKNOWN")
            sums[count.model, status, worker] += count.requests
    requests = [
        ({"model_name": model, "status": status, "worker": worker}, n)
        for (model, status, worker), n in sums.items()
    ]
    yield from counters(":tensorflow:serving:request_count", "Requests by status.", requests)

    def labels(latency: Latency, worker: str) -> dict[str, str]:
        own = {"version": latency.version, "worker": worker}
        return {"model_name": latency.model, "API": "predict", "entrypoint": "REST"} | own

    name, help_text = ":tensorflow:serving:request_latency", "Microseconds of answers."
    yield from _histogram(name, help_text, workers, labels, scale=_MICROSECONDS)


def _histogram(
    name: str,
    help_text: str,
    workers: Mapping[str, WorkerCounters],
    labels_of: _LatencyLabels,
    *,
    scale: float,
) -> Iterator[str]:
    """A histogram of latencies, whose bounds and sum are in seconds times `scale`."""
    yield from family(name, "histogram", help_text)
    bounds = [*(f"{bound * scale:.10g}" for bound in BOUNDS), "+Inf"]
    for worker, counted in workers.items():
        for latency in counted.latencies:
            labels, total = labels_of(latency, worker), 0
            for bound, requests in zip(bounds, latency.buckets, strict=True):
                total += requests
                yield line(f"{name}_bucket", {**labels, "le": bound}, total)
            yield line(f"{name}_sum", labels, latency.seconds * scale)
            yield line(f"{name}_count", labels, total)


PEERS: Mapping[str, Callable[[Mapping[str, WorkerCounters]], Iterator[str]]] = {
    "triton": _triton,
    "kserve": _kserve,
    "tensorflow-serving": _tensorflow_serving,
}
