"""Counters of a worker, and those of all workers of a host in Prometheus' text format."""

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.values import Value

# Seconds; from a small network alone on its core to a large batch on a busy host.
BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
REMEMBERED_VERSIONS = 20
_GAUGES = {
    "resident_bytes": "Resident memory of a worker, in steps of a megabyte.",
    "requests_in_flight": "Whole requests that are queued or answered.",
    "comparison_queue_length": "Requests waiting to be compared between champion and challenger.",
}


class Count(Value):
    """How many requests of one kind were answered with one status."""

    model: str
    version: str
    protocol: str
    status: int
    requests: int


class Latency(Value):
    """How long answers of one version took: requests in each bucket, and all seconds together.

    `last_at`: when the last one was answered, in seconds since 1970; 0 if unknown.
    """

    model: str
    version: str
    buckets: tuple[int, ...]
    seconds: float
    last_at: float = 0.0


class RefusalGauge(Value):
    """How many requests were refused for one reason, without being wrong in themselves."""

    reason: str
    requests: int


class UnlikeRows(Value):
    """How many rows were unlike what the version that answered them learned from."""

    model: str
    version: str
    rows: int


class Loads(Value):
    """How many versions were loaded, refused, or could not be fetched; and how long it took."""

    model: str
    outcome: str
    versions: int
    seconds: float


class WorkerGauges(Value):
    """The load of a worker: its memory, requests in flight, and comparisons that wait.

    `pid`: by which its process is looked up; 0 where it is unknown.
    """

    pid: int = 0
    resident_bytes: int = 0
    requests_in_flight: int = 0
    comparison_queue_length: int = 0


class RecordedCount(Value):
    """How many answers or labels of a model were written to its prediction log."""

    model: str
    kind: str
    records: int


class DroppedRecords(Value):
    """How many were not, for one reason."""

    model: str
    reason: str
    records: int


class ShippedSegments(Value):
    """How many segments of a model's prediction log this worker shipped, while it led."""

    model: str
    segments: int


class PredictionCounters(Value):
    """The prediction log of one worker."""

    recorded: tuple[RecordedCount, ...] = ()
    dropped: tuple[DroppedRecords, ...] = ()
    shipped: tuple[ShippedSegments, ...] = ()


class WorkerCounters(Value):
    """What one worker counted since it started, and its load now."""

    refused: tuple[RefusalGauge, ...] = ()
    counts: tuple[Count, ...] = ()
    latencies: tuple[Latency, ...] = ()
    unlike: tuple[UnlikeRows, ...] = ()
    challenges: tuple[ChallengeStats, ...] = ()
    loads: tuple[Loads, ...] = ()
    predictions: PredictionCounters = PredictionCounters()
    gauges: WorkerGauges = WorkerGauges()


class Metrics:
    """The counters of one worker."""

    def __init__(
        self,
        *,
        challenges: Callable[[], tuple[ChallengeStats, ...]] = tuple,
        loads: Callable[[], tuple[Loads, ...]] = tuple,
        predictions: Callable[[], PredictionCounters] = PredictionCounters,
        comparison_queue_length: Callable[[], int] = int,
    ) -> None:
        """The arguments count elsewhere in this process; they are called for each snapshot."""
        self._challenges, self._loads, self._predictions = challenges, loads, predictions
        self._comparison_queue_length = comparison_queue_length
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str, int], int] = {}
        self._refused: dict[str, int] = {}
        self._unlike: dict[tuple[str, str], int] = {}
        self._latencies: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
        # The client of each request in flight, by a number of its own; admission adds and removes
        # them.
        self.in_flight: dict[int, str] = {}

    def count(
        self,
        model: str,
        version: str,
        protocol: str,
        status: int,
        seconds: float,
        *,
        at: float | None = None,
    ) -> None:
        """Count one request; `version` is empty when none answered, and `at` is now by default."""
        key = (model, version, protocol, status)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1
            if not version or status != 200:
                return
            latency = self._latencies.get((model, version))
            if latency is None:
                self._forget_oldest(model)
                latency = self._latencies[model, version] = ([0] * (len(BOUNDS) + 1), [0.0, 0.0])
            buckets, total = latency
            buckets[bisect_left(BOUNDS, seconds)] += 1
            total[0] += seconds
            total[1] = time.time() if at is None else at

    def count_unlike(self, model: str, version: str, rows: int) -> None:
        """Count rows that are unlike what the version learned from."""
        with self._lock:
            self._unlike[model, version] = self._unlike.get((model, version), 0) + rows

    def refuse(self, reason: str) -> None:
        """Count one request that admission refused."""
        with self._lock:
            self._refused[reason] = self._refused.get(reason, 0) + 1

    def snapshot(self) -> WorkerCounters:
        challenges, loads, predictions = self._challenges(), self._loads(), self._predictions()
        gauges = WorkerGauges(
            pid=os.getpid(),
            resident_bytes=_resident_bytes(),
            requests_in_flight=len(self.in_flight),
            comparison_queue_length=self._comparison_queue_length(),
        )
        with self._lock:
            return WorkerCounters(
                refused=tuple(
                    RefusalGauge(reason=reason, requests=requests)
                    for reason, requests in self._refused.items()
                ),
                counts=tuple(
                    Count(model=m, version=v, protocol=p, status=s, requests=requests)
                    for (m, v, p, s), requests in self._counts.items()
                ),
                latencies=tuple(
                    Latency(
                        model=m,
                        version=v,
                        buckets=tuple(buckets),
                        seconds=total[0],
                        last_at=total[1],
                    )
                    for (m, v), (buckets, total) in self._latencies.items()
                ),
                unlike=tuple(
                    UnlikeRows(model=model, version=version, rows=rows)
                    for (model, version), rows in self._unlike.items()
                ),
                challenges=challenges,
                loads=loads,
                predictions=predictions,
                gauges=gauges,
            )

    def _forget_oldest(self, model: str) -> None:
        # A host that lives for years must not report every version it ever had of a model.
        versions = [key for key in self._latencies if key[0] == model]
        if len(versions) >= REMEMBERED_VERSIONS:
            del self._latencies[versions[0]]
            self._unlike.pop(versions[0], None)
            for key in [key for key in self._counts if key[:2] == versions[0]]:
                del self._counts[key]


def render_requests(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    """The lines of every worker's request counters."""
    # Each worker has series of its own: a sum over workers would fall when one restarts.
    yield from family("overnight_requests_total", "counter", "Answered requests.")
    for worker, snapshot in workers.items():
        for count in snapshot.counts:
            labels = count.model_dump(exclude={"requests"}) | {"worker": worker}
            yield line("overnight_requests_total", labels, count.requests)
    yield from family(
        "overnight_refused_requests_total", "counter", "Requests refused by admission control."
    )
    for worker, snapshot in workers.items():
        for refused in snapshot.refused:
            labels = {"reason": refused.reason, "worker": worker}
            yield line("overnight_refused_requests_total", labels, refused.requests)
    yield from counters(
        "overnight_unlike_training_total",
        "Answered rows that are unlike what the version learned from.",
        [
            ({"model": each.model, "version": each.version, "worker": worker}, each.rows)
            for worker, snapshot in workers.items()
            for each in snapshot.unlike
        ],
    )
    name = "overnight_request_seconds"
    yield from family(name, "histogram", "Seconds from a request's headers to its answer.")
    for worker, snapshot in workers.items():
        for latency in snapshot.latencies:
            labels = {"model": latency.model, "version": latency.version, "worker": worker}
            yield from _histogram(name, labels, latency)


def render_workers(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    """The lines of each worker's loaded versions and of its load."""
    loads = [
        ({"model": counted.model, "outcome": counted.outcome, "worker": worker}, counted)
        for worker, snapshot in workers.items()
        for counted in snapshot.loads
    ]
    yield from counters(
        "overnight_loads_total",
        "Versions that a worker loaded, refused, or could not fetch, by outcome.",
        [(labels, counted.versions) for labels, counted in loads],
    )
    yield from counters(
        "overnight_load_seconds_total",
        "Seconds spent on loading them, in the background.",
        [(labels, counted.seconds) for labels, counted in loads],
    )
    for name, help_text in _GAUGES.items():
        samples = [
            ({"worker": worker}, getattr(snapshot.gauges, name))
            for worker, snapshot in workers.items()
        ]
        yield from gauges(f"overnight_{name}", help_text, samples)


def render_predictions(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    """The lines of each worker's prediction log."""
    logs = [(worker, snapshot.predictions) for worker, snapshot in workers.items()]
    yield from counters(
        "overnight_prediction_records_total",
        "Answers and labels that were written to the prediction log.",
        [
            ({"model": each.model, "kind": each.kind, "worker": worker}, each.records)
            for worker, log in logs
            for each in log.recorded
        ],
    )
    yield from counters(
        "overnight_prediction_records_dropped_total",
        "Answers and labels that were not: queue, spool or disk full, unencodable, or skipped.",
        [
            ({"model": each.model, "reason": each.reason, "worker": worker}, each.records)
            for worker, log in logs
            for each in log.dropped
        ],
    )
    yield from counters(
        "overnight_prediction_segments_shipped_total",
        "Segments of the prediction log that were shipped to the store.",
        [
            ({"model": each.model, "worker": worker}, each.segments)
            for worker, log in logs
            for each in log.shipped
        ],
    )


def counters(
    name: str, help_text: str, values: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    """One family of counters."""
    yield from family(name, "counter", help_text)
    for labels, value in values:
        yield line(name, labels, value)


def gauges(
    name: str, help_text: str, values: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    """One family of gauges."""
    yield from family(name, "gauge", help_text)
    for labels, value in values:
        yield line(name, labels, value)


def line(name: str, labels: Mapping[str, object], value: float) -> str:
    """One sample."""
    rendered = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    # Whole numbers without a point or an exponent: no digit of a large count is lost.
    number = int(value) if value == int(value) else value
    return f"{name}{{{rendered}}} {number}" if rendered else f"{name} {number}"


def _histogram(name: str, labels: Mapping[str, str], latency: Latency) -> Iterator[str]:
    total = 0
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    for bound, requests in zip(bounds, latency.buckets, strict=True):
        total += requests
        yield line(f"{name}_bucket", {**labels, "le": bound}, total)
    yield line(f"{name}_sum", labels, latency.seconds)
    yield line(f"{name}_count", labels, total)


def family(name: str, kind: str, help_text: str) -> Iterator[str]:
    """The comments before the samples of a family."""
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"


def _resident_bytes() -> int:
    # In steps of a megabyte: the counters are written to a file whenever they change.
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20 << 20


def _escaped(text: object) -> str:
    return str(text).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
