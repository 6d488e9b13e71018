"""Prefect's API over a real socket: refusals and unreachable servers are distinguished."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from overnight.infra.errors import OrchestratorRefused, OrchestratorUnavailable
from overnight.infra.prefect_api import PrefectApi
from overnight.infra.settings import load
from overnight.infra.stack.ports import free_port

_ANSWERS = {
    "/api/health": (200, b"true"),
    "/api/deployments/name/retrain/nothing": (404, b'{"detail":"Deployment not found"}'),
    "/api/deployments/1/create_flow_run": (409, b'{"detail":"epochs: must be at least 1"}'),
    "/api/broken": (500, b"<html>oops</html>"),
    "/api/empty": (204, b""),
    "/api/page": (200, b"<html>hello</html>"),
    "/api/cut": (200, b"tr"),
    "/api/busy": (200, b'"at last"'),
    "/api/overloaded": (200, b'"never"'),
    "/api/refusal-cut": (500, b"no"),
}

# How often a path answers that the database is locked, before it answers.
_BUSY = {"/api/busy": 2, "/api/overloaded": 99}


class _Prefect(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = _ANSWERS[self.path]
        if self.path in _BUSY and _BUSY[self.path] > 0:
            _BUSY[self.path] -= 1
            status, body = 503, b'{"exception_message": "Service Unavailable"}'
        self.send_response(status)
        # A server that dies while it answers says less than it promised.
        missing = 10 if self.path.endswith("cut") else 0
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments) -> None:
        return


@pytest.fixture(scope="module")
def api():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Prefect) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield PrefectApi(
            f"http://127.0.0.1:{server.server_port}/api/", busy_pauses_seconds=(0.01,) * 5
        )
        server.shutdown()
        thread.join()


def test_a_healthy_server_is_healthy(api):
    assert api.is_healthy()


@pytest.mark.parametrize("bypassed", ["", "*", "store.example, 127.0.0.1"])
def test_requests_to_this_machine_bypass_proxies(api, bypassed, monkeypatch):
    nowhere = f"http://127.0.0.1:{free_port()}"
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, nowhere)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, bypassed)

    load()

    assert api.is_healthy()
    assert httpx.get(f"{api.url}/health").json() is True
    assert os.environ["no_proxy"].startswith(bypassed.replace(" ", ""))


def test_what_does_not_exist_is_none(api):
    assert api.find("/deployments/name/retrain/nothing") is None


def test_a_server_whose_database_is_locked_for_a_moment_is_retried(api):
    assert api.request("POST", "/busy") == "at last"


def test_a_server_that_stays_busy_is_reported_as_busy(api):
    with pytest.raises(OrchestratorRefused, match="Service Unavailable") as raised:
        api.request("POST", "/overloaded")

    assert raised.value.status == 503


def test_an_answer_without_a_body_is_none(api):
    assert api.request("POST", "/empty") is None


def test_a_refusal_names_the_request_and_the_reason(api):
    with pytest.raises(OrchestratorRefused, match=r"epochs: must be at least 1") as raised:
        api.request("POST", "/deployments/1/create_flow_run", {"parameters": {"epochs": 0}})

    assert raised.value.status == 409
    assert "create_flow_run" in str(raised.value)


def test_a_broken_server_is_reported_with_its_own_text(api):
    with pytest.raises(OrchestratorRefused, match="oops"):
        api.request("GET", "/broken")


def test_a_server_that_is_not_there_is_unavailable_and_unwell():
    silent = PrefectApi(f"http://127.0.0.1:{free_port()}/api")

    with pytest.raises(OrchestratorUnavailable, match="OVERNIGHT_PREFECT_API_URL"):
        silent.request("GET", "/health")
    assert not silent.is_healthy()


@pytest.mark.parametrize("path", ["/page", "/cut"])
def test_what_is_no_whole_answer_is_no_answer(api, path):
    with pytest.raises(OrchestratorUnavailable):
        api.request("GET", path)


def test_a_refusal_that_is_cut_is_a_refusal(api):
    with pytest.raises(OrchestratorRefused) as raised:
        api.request("GET", "/refusal-cut")

    assert raised.value.status == 500
