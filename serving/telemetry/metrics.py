"""What a worker counts, and how all workers of a host tell it in Prometheus' text format."""

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.values import Value

# Seconds; from a small network alone on its core to a large batch on a busy host.
BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
REMEMBERED_VERSIONS = 20
_BURDENS = {
    "resident_bytes": "Resident memory of a worker, in steps of a megabyte.",
    "requests_in_flight": "Requests that are being received, queued or answered.",
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
    """How long answers of one version took: requests in each bucket, and all seconds together."""

    model: str
    version: str
    buckets: tuple[int, ...]
    seconds: float


class RefusalGauge(Value):
    """How many requests were refused for one reason, without being wrong in themselves."""

    reason: str
    requests: int


class Loads(Value):
    """How many versions were loaded, refused, or could not be fetched; and how long it took."""

    model: str
    outcome: str
    versions: int
    seconds: float


class WorkerGauges(Value):
    """What a worker bears: its memory, requests that are in it, and comparisons that wait."""

    resident_bytes: int = 0
    requests_in_flight: int = 0
    comparison_queue_length: int = 0


class WorkerCounters(Value):
    """What one worker counted since it started, and what it bears now."""

    refused: tuple[RefusalGauge, ...] = ()
    counts: tuple[Count, ...] = ()
    latencies: tuple[Latency, ...] = ()
    challenges: tuple[ChallengeStats, ...] = ()
    loads: tuple[Loads, ...] = ()
    burden: WorkerGauges = WorkerGauges()


class Metrics:
    """The counters of one worker."""

    def __init__(
        self,
        *,
        challenges: Callable[[], tuple[ChallengeStats, ...]] = tuple,
        comparison_queue_length: Callable[[], int] = int,
    ) -> None:
        """What is counted elsewhere is asked for whenever a snapshot is taken."""
        self._challenges = challenges
        self._comparison_queue_length = comparison_queue_length
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str, int], int] = {}
        self._refused: dict[str, int] = {}
        self._latencies: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
        self._loads: dict[tuple[str, str], tuple[int, float]] = {}
        # The requests in flight, by a number of their own, each with its client; admission adds and
        # removes them.
        self.in_flight: dict[int, str] = {}

    def count(self, model: str, version: str, protocol: str, status: int, seconds: float) -> None:
        """Count one request; `version` is empty when none answered."""
        kind = (model, version, protocol, status)
        with self._lock:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            if not version or status != 200:
                return
            known = self._latencies.get((model, version))
            if known is None:
                self._forget_oldest(model)
                known = self._latencies[model, version] = ([0] * (len(BOUNDS) + 1), [0.0])
            known[0][bisect_left(BOUNDS, seconds)] += 1
            known[1][0] += seconds

    def refuse(self, reason: str) -> None:
        """Count one request that was not let in."""
        with self._lock:
            self._refused[reason] = self._refused.get(reason, 0) + 1

    def load(self, model: str, outcome: str, seconds: float) -> None:
        """Count one version that was to be loaded, and what became of it."""
        with self._lock:
            versions, before = self._loads.get((model, outcome), (0, 0.0))
            self._loads[model, outcome] = (versions + 1, before + seconds)

    def snapshot(self) -> WorkerCounters:
        challenges = self._challenges()
        burden = WorkerGauges(
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
                    Latency(model=m, version=v, buckets=tuple(buckets), seconds=total[0])
                    for (m, v), (buckets, total) in self._latencies.items()
                ),
                challenges=challenges,
                loads=tuple(
                    Loads(model=model, outcome=outcome, versions=versions, seconds=seconds)
                    for (model, outcome), (versions, seconds) in self._loads.items()
                ),
                burden=burden,
            )

    def _forget_oldest(self, model: str) -> None:
        """A host that lives for years must not tell of every version it ever had of a model."""
        known = [one for one in self._latencies if one[0] == model]
        if len(known) >= REMEMBERED_VERSIONS:
            del self._latencies[known[0]]
            for kind in [kind for kind in self._counts if kind[:2] == known[0]]:
                del self._counts[kind]


def told(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    """The lines of every worker's counters; each worker has series of its own, so none falls."""
    yield from _family("overnight_requests_total", "counter", "Answered requests.")
    for worker, snapshot in workers.items():
        for one in snapshot.counts:
            labels = one.model_dump(exclude={"requests"}) | {"worker": worker}
            yield line("overnight_requests_total", labels, one.requests)
    yield from _family("overnight_refused_requests_total", "counter", "Requests not let in.")
    for worker, snapshot in workers.items():
        for refused in snapshot.refused:
            labels = {"reason": refused.reason, "worker": worker}
            yield line("overnight_refused_requests_total", labels, refused.requests)
    name = "overnight_request_seconds"
    yield from _family(name, "histogram", "Seconds from a request's headers to its answer.")
    for worker, snapshot in workers.items():
        for latency in snapshot.latencies:
            labels = {"model": latency.model, "version": latency.version, "worker": worker}
            yield from _histogram(name, labels, latency)


def told_of_workers(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    """The lines of what each worker loaded, and of what it bears."""
    loads = [
        ({"model": one.model, "outcome": one.outcome, "worker": worker}, one)
        for worker, snapshot in workers.items()
        for one in snapshot.loads
    ]
    yield from counters(
        "overnight_loads_total",
        "Versions that a worker was to load, by what became of them.",
        [(labels, one.versions) for labels, one in loads],
    )
    yield from counters(
        "overnight_load_seconds_total",
        "Seconds that loading them took, beside the requests.",
        [(labels, one.seconds) for labels, one in loads],
    )
    for name, told in _BURDENS.items():
        found = [({"worker": w}, getattr(one.burden, name)) for w, one in workers.items()]
        yield from gauges(f"overnight_{name}", told, found)


def counters(
    name: str, told: str, values: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    """One family of counters."""
    yield from _family(name, "counter", told)
    for labels, value in values:
        yield line(name, labels, value)


def gauges(
    name: str, told: str, values: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    """One family of gauges."""
    yield from _family(name, "gauge", told)
    for labels, value in values:
        yield line(name, labels, value)


def line(name: str, labels: Mapping[str, object], value: float) -> str:
    """One sample."""
    written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    number = int(value) if value == int(value) else value
    return f"{name}{{{written}}} {number}" if written else f"{name} {number}"


def _histogram(name: str, labels: Mapping[str, str], latency: Latency) -> Iterator[str]:
    total = 0
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    for bound, requests in zip(bounds, latency.buckets, strict=True):
        total += requests
        yield line(f"{name}_bucket", {**labels, "le": bound}, total)
    yield line(f"{name}_sum", labels, latency.seconds)
    yield line(f"{name}_count", labels, total)


def _family(name: str, kind: str, told: str) -> Iterator[str]:
    yield f"# HELP {name} {told}"
    yield f"# TYPE {name} {kind}"


def _resident_bytes() -> int:
    """In steps of a megabyte: what hardly changes is not noted anew all the time."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20 << 20


def _escaped(text: object) -> str:
    return str(text).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
