"""A run is followed to its end, also through failures of Prefect."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.console import Console

from overnight.cli.runs import follow
from overnight.infra.errors import OrchestratorRefused, OrchestratorUnavailable
from overnight.infra.settings import Settings

RUN = {"id": "1", "name": "a-run"}


@contextmanager
def prefect(statuses: list[int]) -> Iterator[Settings]:
    """A stub of Prefect: answers with these statuses, one per request, then with an ended run.

    A status of 0 is a connection that is closed without an answer.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses.pop(0) if statuses else 200
            if status:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps({"state": {"type": "COMPLETED", "name": "X"}}).encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Settings(prefect_api_url=f"http://127.0.0.1:{server.server_port}/api")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def followed(settings: Settings, **patience: float) -> tuple[str, str]:
    output = io.StringIO()
    state = follow.follow(settings, RUN, "digits", Console(file=output, width=200), **patience)
    return state["name"], output.getvalue()


def test_failed_requests_are_retried_and_reported_once():
    with prefect([0, 500, 0]) as settings:
        name, output = followed(settings)

    assert name == "X"
    assert output.count("Prefect does not answer; the run continues") == 1


def test_a_refused_request_is_not_retried():
    with prefect([404]) as settings, pytest.raises(OrchestratorRefused):
        followed(settings)


def test_retries_end_after_their_time():
    with prefect([0] * 50) as settings, pytest.raises(OrchestratorUnavailable):
        followed(settings, retry_seconds=0.1)
