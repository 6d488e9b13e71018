"""Requests under the names of other servers, and the processes of workers."""

import os
import re

import pytest

from overnight.infra.formats import PEERS as NAMES
from overnight.infra.settings import load
from overnight.serving.telemetry.metrics import BOUNDS, Metrics, WorkerCounters, WorkerGauges
from overnight.serving.telemetry.peer_metrics import PEERS, render_peers
from overnight.serving.telemetry.process_metrics import render_processes
from overnight.store.errors import ConfigurationError
from tests.support.serving.clients import IMAGES, PREDICT, application_of

SAMPLE = re.compile(r'([a-z_:]+)\{([A-Za-z_]+="[^"]*",?)+\} ([0-9.e+-]+)')


@pytest.fixture(scope="module")
def workers() -> dict[str, WorkerCounters]:
    """Two workers: three answers of one version and two failures, and another one's answer."""
    one, other = Metrics(), Metrics()
    for seconds in (0.0004, 0.003, 99.0):
        one.count("digits", "v2", "v2", 200, seconds)
    one.count("digits", "v2", "v1", 400, 0.0)
    one.count("", "", "v2", 404, 0.0)
    other.count("digits", "v2", "v1", 200, 0.002)
    return {"a": one.snapshot(), "b": other.snapshot()}


def _values(lines: list[str], name: str, *labels: str) -> list[float]:
    return [
        float(line.split()[-1])
        for line in lines
        if line.startswith(f"{name}{{") and all(label in line for label in labels)
    ]


def test_settings_name_what_is_rendered():
    assert set(NAMES) == set(PEERS)


@pytest.mark.parametrize("peer", sorted(PEERS))
def test_every_family_is_declared_once_before_its_samples(workers, peer):
    lines = list(render_peers(workers, (peer,)))

    declared = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(declared) == len(set(declared)) > 0
    current = ""
    for line in lines:
        if line.startswith("# "):
            current = line.split()[2]
        else:
            name = SAMPLE.fullmatch(line)
            assert name is not None, line
            assert re.sub("_(bucket|sum|count)$", "", name[1]) in {current, current[:-6]}, line


def test_triton_counts_successes_failures_and_microseconds(workers):
    lines = list(render_peers(workers, ("triton",)))

    of_version = 'model="digits",version="v2"'
    assert _values(lines, "nv_inference_request_success", of_version) == [3, 1]
    assert _values(lines, "nv_inference_request_failure", of_version) == [1, 0]
    assert _values(lines, "nv_inference_count", of_version) == [3, 1]
    micros = _values(lines, "nv_inference_request_duration_us", of_version)
    assert micros == pytest.approx([99.0034e6, 2000])
    assert not any("queue" in line for line in lines)


def test_kserve_has_a_histogram_of_seconds(workers):
    lines = list(render_peers(workers, ("kserve",)))

    name, labels = "request_predict_seconds", 'model_name="digits",version="v2",worker="a"'
    buckets = _values(lines, f"{name}_bucket", labels)
    assert len(buckets) == len(BOUNDS) + 1
    assert (buckets[0], buckets[-1]) == (1, 3)
    assert _values(lines, f"{name}_bucket", 'worker="a"', 'le="0.005"') == [2]
    assert _values(lines, f"{name}_sum", labels) == pytest.approx([99.0034])
    assert _values(lines, f"{name}_count", labels) == [3]


def test_tensorflow_serving_has_status_names_and_microseconds(workers):
    lines = list(render_peers(workers, ("tensorflow-serving",)))

    name = ":tensorflow:serving:request_count"
    assert _values(lines, name, 'model_name="digits"', 'status="OK"') == [3, 1]
    assert _values(lines, name, 'model_name="digits"', 'status="INVALID_ARGUMENT"') == [1]
    assert _values(lines, name, 'model_name=""', 'status="NOT_FOUND"') == [1]
    latency = ":tensorflow:serving:request_latency"
    own = 'model_name="digits",API="predict",entrypoint="REST"'
    assert _values(lines, f"{latency}_bucket", own, 'worker="a"', 'le="5000"') == [2]
    assert _values(lines, f"{latency}_sum", own, 'worker="b"') == pytest.approx([2000])


def test_they_are_there_where_a_setting_names_them():
    with_names = application_of(peer_metrics=("triton", "kserve"))
    without = application_of()
    for client in (with_names, without):
        assert client.post(PREDICT, json={"instances": IMAGES.tolist()}).status_code == 200

    text = with_names.get("/metrics").text
    assert 'nv_inference_request_success{model="digits",version="' in text
    assert "request_predict_seconds_count" in text
    assert ":tensorflow:serving" not in text
    assert "nv_inference" not in without.get("/metrics").text


def test_unknown_names_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_PEER_METRICS", "triton, kserve")
    assert load().peer_metrics == ("triton", "kserve")

    for wrong in ("seldon", "triton,triton"):
        monkeypatch.setenv("OVERNIGHT_PEER_METRICS", wrong)
        expected = "^OVERNIGHT_PEER_METRICS: expected some of triton, kserve, tensorflow-serving"
        with pytest.raises(ConfigurationError, match=expected):
            load()


def test_processes_are_those_of_the_workers():
    text = application_of().get("/metrics").text.splitlines()

    (resident,) = _values(text, "process_resident_memory_bytes", 'worker="alone"')
    (started,) = _values(text, "process_start_time_seconds")
    (cpu,) = _values(text, "process_cpu_seconds_total")
    (files,) = _values(text, "process_open_fds")
    (most,) = _values(text, "process_max_fds")
    (virtual,) = _values(text, "process_virtual_memory_bytes")
    assert 10e6 < resident < virtual
    assert started > 1.6e9
    assert cpu > 0
    assert 0 < files < most or most == -1


def test_a_worker_that_just_ended_has_no_process():
    ended = WorkerCounters(gauges=WorkerGauges(pid=0))
    alive = WorkerCounters(gauges=WorkerGauges(pid=os.getpid()))

    lines = list(render_processes({"ended": ended, "alive": alive}))

    assert any('worker="alive"' in line for line in lines)
    assert not any('worker="ended"' in line for line in lines)
