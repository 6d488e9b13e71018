"""Live traffic, from counters that only grow."""

import pytest

from overnight.serving.telemetry.metrics import BOUNDS, Count, Latency, Metrics, WorkerCounters
from overnight.serving.telemetry.traffic import (
    BUCKET_SECONDS,
    BUCKETS,
    TrafficFile,
    TrafficSampler,
    quantile_ms,
    traffic_between,
)
from tests.support.serving.clients import application_of, v2


def counted(requests: int = 0, errors: int = 0, *, version: str = "v") -> WorkerCounters:
    return WorkerCounters(
        counts=(
            Count(model="m", version=version, protocol="v2", status=200, requests=requests),
            Count(model="m", version="", protocol="v2", status=400, requests=errors),
        )
    )


class Host:
    """Workers whose counters are set by hand, and the leader that looks at them."""

    def __init__(self, folder) -> None:
        self.now, self.workers = 1_000_000.0, {"a": WorkerCounters()}
        self.file = TrafficFile(folder)
        self.sampler = self.lead()

    def lead(self) -> TrafficSampler:
        sampler = TrafficSampler(self.file, lambda: self.workers, clock=lambda: self.now)
        sampler.tick()
        return sampler

    def later(self, seconds: float = BUCKET_SECONDS, **workers: WorkerCounters) -> dict:
        self.now += seconds
        self.workers |= workers
        self.sampler.tick()
        return self.series()

    def series(self) -> dict:
        return self.file.read().series("m", now=self.now)


@pytest.fixture
def host(tmp_path) -> Host:
    return Host(tmp_path)


def test_without_requests_there_are_five_minutes_of_zeros(host):
    series = host.later()

    assert series["requests_per_second"] == [0.0] * BUCKETS
    assert series["p99_ms"] == [None] * BUCKETS


def test_all_workers_are_summed(host):
    series = host.later(a=counted(20), b=counted(10, errors=5))

    assert series["requests_per_second"][-1] == pytest.approx(35 / BUCKET_SECONDS)
    assert series["errors_per_second"][-1] == pytest.approx(1)


def test_rates_are_differences_of_counters(host):
    host.later(a=counted(20))
    series = host.later(a=counted(25))

    assert series["requests_per_second"][-2:] == [4.0, 1.0]


def test_dead_and_new_workers_cause_no_negative_rates(host):
    host.later(a=counted(1000), b=counted(10))
    del host.workers["a"]

    series = host.later(b=counted(15), c=counted(5))

    assert series["requests_per_second"][-1] == 2.0


def test_a_new_leader_continues_the_series(host):
    host.later(a=counted(20))
    host.sampler = host.lead()

    series = host.later(a=counted(30))

    assert series["requests_per_second"][-2:] == [4.0, 2.0]


def test_a_pause_of_the_leader_is_a_gap_and_not_a_peak(host):
    host.later(a=counted(20))
    series = host.later(4 * BUCKET_SECONDS, a=counted(60))

    assert series["requests_per_second"][-5:] == [4.0, 0.0, 0.0, 0.0, 2.0]


def test_intervals_older_than_five_minutes_are_dropped(host):
    host.later(a=counted(20))
    series = host.later(BUCKETS * BUCKET_SECONDS)

    assert not any(series["requests_per_second"])
    assert len(host.file.read().intervals) == 1


def test_the_bucket_that_is_about_to_be_written_shows_no_dip(host):
    host.later(a=counted(20))
    host.now += BUCKET_SECONDS

    assert host.series()["requests_per_second"][-1] == 4.0


def test_without_a_leader_the_series_are_zero(host):
    host.later(a=counted(20))
    host.now += 3 * BUCKET_SECONDS

    assert host.series()["requests_per_second"][-4:] == [4.0, 0.0, 0.0, 0.0]


def test_a_clock_that_was_set_back_causes_no_wrong_rate(host):
    host.later(a=counted(20))
    series = host.later(-60, a=counted(40))

    assert max(series["requests_per_second"]) <= 4.0


def test_a_damaged_file_is_replaced(host, tmp_path):
    (tmp_path / "traffic.json").write_text("{")
    assert host.later(a=counted(5))["requests_per_second"][-1] == 1.0


def test_latencies_are_differences_of_histograms():
    before, after = Metrics(), Metrics()
    for _ in range(100):
        before.count("m", "old", "v2", 200, 3.0)
        after.count("m", "old", "v2", 200, 3.0)
    for _ in range(10):
        after.count("m", "new", "v2", 200, 0.0015)

    found = traffic_between({"w": before.snapshot()}, {"w": after.snapshot()}, 5.0)["m"]

    assert found.requests_per_second == 2.0
    assert found.p50_ms == pytest.approx(1.5)
    assert found.p99_ms == pytest.approx(1.99)


def test_requests_without_a_model_are_left_out():
    unknown = WorkerCounters(
        counts=(Count(model="", version="", protocol="v2", status=404, requests=3),)
    )
    assert traffic_between({}, {"w": unknown}, 5.0) == {}


@pytest.mark.parametrize(
    ("place", "expected"),
    [(0, 0.25), (1, 0.75), (len(BOUNDS) - 1, 3_500.0), (len(BOUNDS), 5_000.0)],
)
def test_quantiles_lie_inside_their_bucket(place, expected):
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[place] = 8
    assert quantile_ms(buckets, 0.5) == pytest.approx(expected)


def test_no_requests_have_no_quantile():
    assert quantile_ms([0] * (len(BOUNDS) + 1), 0.5) is None
    assert quantile_ms((), 0.99) is None


def test_workers_with_other_bounds_are_still_added():
    short = WorkerCounters(latencies=(Latency(model="m", version="v", buckets=(1,), seconds=0.1),))
    assert traffic_between({}, {"w": short}, 5.0) == {}


def test_every_served_model_has_sixty_numbers_of_each_kind():
    client = application_of()
    client.post("/v2/models/digits/infer", json=v2())

    answer = client.get("/api/traffic")

    body = answer.get_json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert body["bucket_seconds"] == BUCKET_SECONDS
    assert {name: len(series) for name, series in body["models"]["digits"].items()} == {
        "requests_per_second": BUCKETS,
        "errors_per_second": BUCKETS,
        "p50_ms": BUCKETS,
        "p99_ms": BUCKETS,
    }
