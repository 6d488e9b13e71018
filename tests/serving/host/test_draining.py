"""Draining: not ready first, still answering, and no request is cut off."""

import json
import os
import signal
import socket
from contextlib import ExitStack

import numpy as np
import pytest

from overnight.serving.host.shared_memory import DrainFlag
from overnight.store.registry.actor import Actor
from tests.support.serving import bundles
from tests.support.serving.clients import application_of
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

PREDICT = "/v1/models/digits:predict"
ONE = {"instances": np.zeros((1, 28, 28), int).tolist()}
BODY = json.dumps(ONE).encode()
OF_MODEL = ("/v2/models/digits/ready", "/v1/models/digits")
# Its client reads `ready` at the address where TensorFlow Serving's reads the status alone.
KSERVE = {"User-Agent": "python-httpx/0.28"}


@pytest.fixture
def published(bucket, address):
    bundles.publish(bucket, 1)
    log = alias_log(bucket, bundles.MODEL)
    log.append(bundles.version_name(1), expected=None, actor=Actor("a test", "a test"))
    return follow_settings(address)


def begun(serving: Serving) -> socket.socket:
    """A request that is being read, with none of its body sent."""
    client = socket.create_connection(("127.0.0.1", serving.port), timeout=60)
    client.sendall(
        f"POST {PREDICT} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    )
    assert client.recv(1_000).startswith(b"HTTP/1.1 100 ")
    return client


def test_all_workers_are_unready_before_any_of_them_stops_answering(published, tmp_path):
    # The body that comes late shall not be given up for that.
    late = {"body_grace_seconds": "300"}
    with (
        run_serving(place=tmp_path, **published, drain_seconds="10", **late) as serving,
        ExitStack() as stack,
    ):
        until(serving.is_ready, what="serving is ready")
        early = stack.enter_context(begun(serving))

        # When it gets a signal to stop.
        serving.process.send_signal(signal.SIGTERM)
        until(lambda: serving.request("GET", "/v2/health/ready")[0] == 503, what="it is not ready")

        # Then every worker (a connection each, so that all are reached) reports it and answers.
        probes = [serving.request("GET", "/v2/health/ready") for _ in range(20)]
        of_model = [serving.request("GET", path, **KSERVE) for path in OF_MODEL for _ in range(5)]
        answered = [serving.request("POST", PREDICT, ONE) for _ in range(10)]
        assert {status for status, _, _ in probes} == {503}
        assert {body["ready"] for _, _, body in probes} == {False}
        assert {(status, body["ready"]) for status, _, body in of_model} == {(503, False)}
        assert {status for status, _, _ in answered} == {200}
        assert {headers["connection"] for _, headers, _ in answered} == {"close"}
        assert "overnight_ready 0" in serving.request("GET", "/metrics")[2].decode()

        # And a request that began before is answered after the drain, once its body has arrived.
        until(lambda: "Stopping worker" in serving.log.read_text(), what="the drain is over")
        early.sendall(BODY)
        assert early.recv(10_000).startswith(b"HTTP/1.1 200 ")
        early.close()
        assert serving.process.wait(120) == 0


def test_without_readiness_probes_there_is_no_drain_delay(published, tmp_path):
    with run_serving(place=tmp_path, **published, drain_seconds="600") as serving:
        until(lambda: serving.version() == bundles.version_name(1), what="it answers")

        serving.process.send_signal(signal.SIGTERM)

        assert serving.process.wait(120) == 0


def test_a_second_signal_ends_the_drain_at_once(published, tmp_path):
    with run_serving(place=tmp_path, **published, drain_seconds="600") as serving:
        until(serving.is_ready, what="serving is ready")
        with begun(serving):
            serving.process.send_signal(signal.SIGTERM)
            until(lambda: serving.request("GET", "/v2/health/ready")[0] == 503, what="it drains")

            serving.process.send_signal(signal.SIGTERM)

            assert serving.process.wait(120) == 0
        assert "Traceback" not in serving.log.read_text()


def test_ctrl_c_which_reaches_the_workers_as_well_drains_too(published, tmp_path):
    with run_serving(place=tmp_path, **published, drain_seconds="6") as serving:
        until(serving.is_ready, what="serving is ready")

        for pid in (*serving.workers(), serving.process.pid):
            os.kill(pid, signal.SIGINT)
        until(lambda: serving.request("GET", "/v2/health/ready")[0] == 503, what="it drains")

        assert serving.request("POST", PREDICT, ONE)[0] == 200
        assert serving.process.wait(120) == 0


def test_the_drain_flag_is_shared_by_all_that_open_its_file(tmp_path):
    ours = DrainFlag.create(tmp_path / "draining")
    theirs = DrainFlag.open(tmp_path / "draining")
    assert not theirs.begun
    assert not ours.is_polled

    ours.begin()
    theirs.note_probe()

    assert theirs.begun
    assert ours.is_polled
    # The next server at this port gets a new file; the draining one keeps its own.
    assert not DrainFlag.create(tmp_path / "draining").begun
    assert theirs.begun


def test_a_readiness_probe_is_noted():
    client = application_of()
    draining = client.application.extensions["overnight"].draining
    client.get("/v2/health/live")
    assert not draining.is_polled

    client.get("/v2/health/ready")

    assert draining.is_polled
