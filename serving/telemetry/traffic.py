"""Live traffic: what all workers of a host answered in the last minutes, in buckets of seconds.

The workers' counters only grow. The leader reads the counters that they publish (nothing is added
to the request path), takes the differences every few seconds, and writes them to a small file that
every worker can read.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from pydantic import ValidationError

from overnight.serving.telemetry.metrics import BOUNDS, Count, WorkerCounters
from overnight.store.local_files import write_atomically
from overnight.store.values import Value

BUCKET_SECONDS = 5
BUCKETS = 60
ERROR_STATUS = 400


class TrafficSample(Value):
    """One model in one bucket: rates in requests a second, quantiles in milliseconds."""

    requests_per_second: float = 0.0
    errors_per_second: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None


class Interval(Value):
    """One bucket; `number` counts buckets since 1970."""

    number: int
    models: dict[str, TrafficSample]


class Traffic(Value):
    """The intervals of the last minutes, oldest first; quiet ones may be missing."""

    intervals: tuple[Interval, ...] = ()

    def series(self, model: str, *, now: float) -> dict[str, list[float | None]]:
        """BUCKETS numbers of each kind, oldest first, up to the last whole bucket."""
        last = int(now // BUCKET_SECONDS) - 1
        newest = self.intervals[-1].number if self.intervals else 0
        # The last bucket is written a moment after it has ended; until then it is left out, or
        # every chart would end in a dip.
        last = newest if newest == last - 1 else last
        by_number = {
            interval.number: interval.models.get(model, TrafficSample())
            for interval in self.intervals
        }
        samples = [by_number.get(last - ago, TrafficSample()) for ago in reversed(range(BUCKETS))]
        return {
            name: [getattr(sample, name) for sample in samples]
            for name in TrafficSample.model_fields
        }


class TrafficFile:
    """The file with the traffic of a host: the leader writes, all workers read."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "traffic.json"

    def read(self) -> Traffic:
        try:
            return Traffic.model_validate_json(self._path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return Traffic()

    def write(self, traffic: Traffic) -> None:
        write_atomically(self._path, traffic.model_dump_json().encode(), durable=False)


class TrafficSampler:
    """Samples the counters of all workers, in the leader; all its logic is in `tick`."""

    def __init__(
        self,
        file: TrafficFile,
        snapshots: Callable[[], Mapping[str, WorkerCounters]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file, self._snapshots, self._clock = file, snapshots, clock
        self._before: Mapping[str, WorkerCounters] | None = None
        self._sampled_at = 0.0

    def tick(self) -> float:
        """At the end of a bucket, write it. Returns how many seconds to rest until the next."""
        now = self._clock()
        number = int(now // BUCKET_SECONDS)
        if self._before is None or number != int(self._sampled_at // BUCKET_SECONDS):
            after = dict(self._snapshots())
            # After a clock was set back, nobody knows how long this bucket was.
            if self._before is not None and now > self._sampled_at:
                self._append(
                    number - 1, traffic_between(self._before, after, now - self._sampled_at)
                )
            self._before, self._sampled_at = after, now
        return (number + 1) * BUCKET_SECONDS - now

    def _append(self, number: int, models: dict[str, TrafficSample]) -> None:
        kept = [
            interval
            for interval in self._file.read().intervals
            if number - BUCKETS < interval.number < number
        ]
        self._file.write(Traffic(intervals=(*kept, Interval(number=number, models=models))))


def traffic_between(
    before: Mapping[str, WorkerCounters], after: Mapping[str, WorkerCounters], seconds: float
) -> dict[str, TrafficSample]:
    """The traffic between two readings of the counters, by model.

    A worker that died takes its counters along; one that is new began at zero.
    """
    totals: dict[str, _Total] = {}
    for worker, snapshot in after.items():
        earlier = before.get(worker, WorkerCounters())
        known = {_kind(count): count.requests for count in earlier.counts}
        for count in snapshot.counts:
            more = max(count.requests - known.get(_kind(count), 0), 0)
            totals.setdefault(count.model, _Total()).count(more, count.status)
        answered = {
            (latency.model, latency.version): latency.buckets for latency in earlier.latencies
        }
        for latency in snapshot.latencies:
            old = answered.get((latency.model, latency.version), ())
            totals.setdefault(latency.model, _Total()).add(latency.buckets, old)
    return {
        model: total.sample(seconds) for model, total in totals.items() if model and total.requests
    }


@dataclass
class _Total:
    """One model between two readings, all workers and versions together."""

    requests: int = 0
    errors: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def count(self, requests: int, status: int) -> None:
        self.requests += requests
        self.errors += requests if status >= ERROR_STATUS else 0

    def add(self, new: Sequence[int], old: Sequence[int]) -> None:
        for place, (after, before) in enumerate(zip_longest(new, old, fillvalue=0)):
            self.buckets[place] += max(after - before, 0)

    def sample(self, seconds: float) -> TrafficSample:
        return TrafficSample(
            requests_per_second=round(self.requests / seconds, 3),
            errors_per_second=round(self.errors / seconds, 3),
            p50_ms=quantile_ms(self.buckets, 0.5),
            p99_ms=quantile_ms(self.buckets, 0.99),
        )


def _kind(count: Count) -> tuple[str, str, str, int]:
    return count.model, count.version, count.protocol, count.status


def quantile_ms(buckets: Sequence[int], share: float) -> float | None:
    """The quantile of a histogram over BOUNDS, by linear interpolation; None without requests.

    A quantile above the last bound is reported as the last bound, as Prometheus does.
    """
    wanted = share * sum(buckets)
    if not wanted:
        return None
    below, low = 0, 0.0
    for count, high in zip(buckets, BOUNDS, strict=False):
        if count and below + count >= wanted:
            return round(1000 * (low + (high - low) * (wanted - below) / count), 3)
        below, low = below + count, high
    return 1000 * BOUNDS[-1]
