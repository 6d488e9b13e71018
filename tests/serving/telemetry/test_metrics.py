"""What Prometheus reads."""

import re

import numpy as np
import pytest

from overnight.serving.telemetry.metrics import (
    BOUNDS,
    REMEMBERED_VERSIONS,
    Loads,
    Metrics,
    line,
    render_requests,
    render_workers,
)
from tests.support.serving import bundles
from tests.support.serving.clients import application_of

BODY = {"instances": np.zeros((1, 28, 28), int).tolist()}
SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')


@pytest.fixture
def client():
    return application_of()


def test_requests_are_counted_by_model_version_protocol_and_status(client):
    for _ in range(3):
        assert client.post("/v1/models/digits:predict", json=BODY).status_code == 200
    for _ in range(2):
        assert client.post("/v1/models/digits:predict", json={}).status_code == 400

    lines = client.get("/metrics").text.splitlines()

    version = bundles.version_name(1)
    assert (
        f'overnight_requests_total{{model="digits",version="{version}",protocol="v1",'
        'status="200",worker="alone"} 3' in lines
    )
    assert any('status="400"' in one and one.endswith(" 2") for one in lines)
    assert f'overnight_version_info{{model="digits",version="{version}"}} 1' in lines
    assert "overnight_ready 1" in lines


def test_every_line_is_a_sample_or_a_comment(client):
    client.post("/v1/models/digits:predict", json=BODY)
    for one in client.get("/metrics").text.splitlines():
        assert one.startswith("# ") or SAMPLE.fullmatch(one), one


def test_unknown_model_names_get_no_series(client):
    client.post("/v1/models/an-invention:predict", json=BODY)
    assert "an-invention" not in client.get("/metrics").text


def test_the_buckets_of_a_histogram_add_up():
    meter = Metrics()
    for seconds in (0.0001, 0.0005, 0.003, 99.0):
        meter.count("m", "v", "v2", 200, seconds)

    lines = list(render_requests({"w": meter.snapshot()}))

    buckets = [int(one.rsplit(" ", 1)[1]) for one in lines if "_bucket" in one]
    assert len(buckets) == len(BOUNDS) + 1
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (2, 4)
    assert 'overnight_request_seconds_count{model="m",version="v",worker="w"} 4' in lines


def test_series_of_the_oldest_versions_are_dropped():
    meter = Metrics()
    for number in range(REMEMBERED_VERSIONS + 5):
        meter.count("m", f"v{number}", "v2", 200, 0.001)

    snapshot = meter.snapshot()

    assert len(snapshot.latencies) == len(snapshot.counts) == REMEMBERED_VERSIONS
    assert snapshot.latencies[0].version == "v5"


def test_series_are_bounded_for_each_model_alone():
    meter = Metrics()
    models = [f"m{number}" for number in range(REMEMBERED_VERSIONS + 5)]
    for _ in range(3):
        for model in models:
            meter.count(model, "v", "v2", 200, 0.001)

    assert {count.model: count.requests for count in meter.snapshot().counts} == dict.fromkeys(
        models, 3
    )


def test_a_failed_request_counts_for_the_version_that_it_reached(client):
    refused = client.post("/v2/models/digits/infer", json={"inputs": []})

    version = bundles.version_name(1)
    assert refused.headers["X-Model-Version"] == version
    counted = f'version="{version}",protocol="v2",status="400",worker="alone"}} 1'
    assert counted in client.get("/metrics").text


def test_loads_and_gauges_are_reported_for_every_worker():
    loads = (
        Loads(model="m", outcome="loaded", versions=2, seconds=0.75),
        Loads(model="m", outcome="refused", versions=1, seconds=1.0),
    )
    meter = Metrics(loads=lambda: loads, comparison_queue_length=lambda: 3)
    meter.in_flight.update(dict.fromkeys(range(7), "shop"))
    idle = Metrics()

    lines = list(render_workers({"a": meter.snapshot(), "b": idle.snapshot()}))

    assert 'overnight_loads_total{model="m",outcome="loaded",worker="a"} 2' in lines
    assert 'overnight_loads_total{model="m",outcome="refused",worker="a"} 1' in lines
    assert 'overnight_load_seconds_total{model="m",outcome="loaded",worker="a"} 0.75' in lines
    for name, value in (("requests_in_flight", 7), ("comparison_queue_length", 3)):
        assert f'overnight_{name}{{worker="a"}} {value}' in lines
        assert f'overnight_{name}{{worker="b"}} 0' in lines
    resident = [one for one in lines if one.startswith("overnight_resident_bytes{")]
    assert len(resident) == 2
    assert min(int(one.split()[1]) for one in resident) > 10_000_000


def test_large_counts_keep_every_digit():
    assert line("a", {}, 123_456_789) == "a 123456789"
    assert line("a", {}, 0.25) == "a 0.25"


def test_labels_are_escaped():
    assert line("a", {"b": 'c"\\\n'}, 1) == 'a{b="c\\"\\\\\\n"} 1'
