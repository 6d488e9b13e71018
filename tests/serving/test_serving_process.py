"""The server process: start, crashes of workers, shutdown and configuration errors."""

import http.client
import json
import os
import signal
import socket
import time
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from tests.support.faults.tally import TALLY
from tests.support.s3_server import free_ports
from tests.support.serving import bundles
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

BLANK = np.zeros((1, 28, 28), np.uint8)
ONE = {"instances": BLANK.tolist()}
PREDICT = "/v1/models/digits:predict"


def promote(log: AliasLog, number: int) -> None:
    current = log.current()
    log.append(
        bundles.version_name(number),
        expected=current.version if current else None,
        actor=Actor("a test", "a test"),
    )


def test_a_rehearsal_needs_no_store(tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 3)

    with run_serving("--rehearse", str(folder), place=tmp_path / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        status, headers, answer = serving.request("POST", PREDICT, ONE)

    assert (status, headers["x-model-version"]) == (200, bundles.version_name(3))
    assert np.allclose(answer["predictions"], bundles.probabilities(3, BLANK), atol=1e-6)
    assert serving.process.returncode == 0


def test_a_bundle_without_golden_examples_can_be_rehearsed(tmp_path):
    files = bundles.files(1)
    del files["golden.npz"]
    folder = bundles.folder(tmp_path / "bundle", 1, files)

    with run_serving("--rehearse", str(folder), place=tmp_path / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")


def test_a_damaged_bundle_ends_a_rehearsal_with_one_line(tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 3)
    (folder / "predictor.tflite").write_bytes(b"damaged")

    with run_serving("--rehearse", str(folder), place=tmp_path / "home") as serving:
        assert serving.process.wait(120) == 1

    output = serving.log.read_text()
    assert "predictor.tflite: expected sha256" in output
    assert "Traceback" not in output


def test_an_unfit_version_ends_a_rehearsal(tmp_path):
    files = bundles.files(3) | {"predictor.tflite": b"verified, and yet no network"}
    folder = bundles.folder(tmp_path / "bundle", 3, files)

    with run_serving("--rehearse", str(folder), place=tmp_path / "home") as serving:
        assert serving.process.wait(120) == 1

    output = serving.log.read_text()
    assert "LiteRT cannot run it" in output
    assert "Traceback" not in output


def test_a_port_in_use_is_reported_in_one_line(tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with run_serving(
            "--rehearse", str(folder), "--port", port, place=tmp_path / "home"
        ) as serving:
            assert serving.process.wait(120) == 1

    output = serving.log.read_text()
    assert f"port {port}" in output
    assert "Traceback" not in output


def test_a_killed_worker_is_replaced_and_promotions_go_on(bucket, address, tmp_path):
    log = alias_log(bucket, bundles.MODEL)
    for number in (1, 2, 3):
        bundles.publish(bucket, number)
    promote(log, 1)
    with run_serving(place=tmp_path, **follow_settings(address)) as serving:
        until(serving.is_ready, what="serving is ready")

        # When both workers are killed, one after the other: one of them leads when it is its turn.
        first = serving.workers()
        for number, worker in enumerate(first, start=2):
            # Two that die within 5.5 s are taken for a server that cannot be started.
            time.sleep(6 * (number - 2))
            before = serving.workers()
            os.kill(worker, signal.SIGKILL)
            TALLY.inject("a worker of serving was killed")
            until(lambda before=before: _is_renewed(serving, before), what="a new worker")
            promote(log, number)

            acknowledgements = partial(log.acknowledgements, number)
            until(
                lambda acknowledgements=acknowledgements: bool(acknowledgements()),
                what=f"record {number} acknowledged",
            )
            assert acknowledgements()[0].serving
            expected = {bundles.version_name(number)}
            until(lambda expected=expected: {serving.version() for _ in range(20)} == expected)


def _is_renewed(serving, before) -> bool:
    now = serving.workers()
    return len(now) == 2 and now != before


def test_requests_in_flight_are_completed_on_shutdown(tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 1)
    body = json.dumps(ONE).encode()
    with run_serving("--rehearse", str(folder), place=tmp_path / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")

        # Given a request whose body the application has begun to read.
        with socket.create_connection(("127.0.0.1", serving.port), timeout=60) as client:
            client.sendall(
                f"POST {PREDICT} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            assert client.recv(1_000).startswith(b"HTTP/1.1 100 ")

            # When the server is asked to stop, and only then the body comes.
            serving.process.send_signal(signal.SIGTERM)
            until(lambda: "Stopping worker" in serving.log.read_text(), what="it is stopping")
            client.sendall(body)

            # Then the request is answered, and the server ends well.
            assert client.recv(10_000).startswith(b"HTTP/1.1 200 ")
        assert serving.process.wait(120) == 0


@pytest.mark.parametrize("sent", ["whole", "in chunks"])
def test_a_body_over_the_limit_is_refused_over_a_real_connection(tmp_path, sent):
    folder = bundles.folder(tmp_path / "bundle", 1)
    home = tmp_path / "home"
    with run_serving("--rehearse", str(folder), place=home, maximum_body_bytes="20000") as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
        body = b" " * 30_000
        chunked = sent == "in chunks"
        connection.request(
            "POST",
            PREDICT,
            iter([body]) if chunked else body,
            {"Content-Type": "application/json"},
            encode_chunked=chunked,
        )

        response = connection.getresponse()

        assert response.status == 413
        assert "at most 20000 bytes" in json.loads(response.read())["error"]
        connection.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"serving_workers": "many"}, "OVERNIGHT_SERVING_WORKERS"),
        ({"serving_models": "digits,../etc"}, "'../etc'"),
        ({"admin_token": "short"}, "OVERNIGHT_ADMIN_TOKEN: expected"),
        ({"prediction_keys_file": "/nowhere/keys"}, "OVERNIGHT_PREDICTION_KEYS_FILE: /nowhere"),
        ({"home": "/proc/nowhere"}, "OVERNIGHT_HOME: /proc/nowhere cannot be written to"),
    ],
)
def test_wrong_settings_are_reported_in_one_line(tmp_path, settings, message):
    with run_serving(place=tmp_path, **settings) as serving:
        assert serving.process.wait(120) == 1
    output = serving.log.read_text()
    assert message in output
    assert "Traceback" not in output


def test_without_a_store_the_server_is_live_but_not_ready(tmp_path):
    (port,) = free_ports(1)
    with run_serving(place=tmp_path, s3_endpoint=f"http://127.0.0.1:{port}") as serving:

        def lives() -> bool:
            with suppress(OSError):
                return serving.request("GET", "/v2/health/live")[0] == 200
            return False

        until(lives, what="serving lives")
        assert serving.request("GET", "/v2/health/ready")[0] == 503
        assert serving.process.poll() is None
