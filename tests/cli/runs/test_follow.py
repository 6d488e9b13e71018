"""A run is followed to its end, also while Prefect does not answer for a while."""

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
    """What speaks as Prefect does: answers with these, one a look, then with a run that ended.

    A status of 0 is a connection that is closed without a word.
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
            """Quietly."""

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
    told = io.StringIO()
    state = follow.follow(settings, RUN, "digits", Console(file=told, width=200), **patience)
    return state["name"], told.getvalue()


def test_a_run_is_followed_through_faults_of_prefect():
    with prefect([0, 500, 0]) as settings:
        name, told = followed(settings)

    assert name == "X"
    assert told.count("Prefect does not answer; the run continues") == 1


def test_what_prefect_refuses_ends_it_at_once():
    with prefect([404]) as settings, pytest.raises(OrchestratorRefused):
        followed(settings)


def test_patience_ends():
    with prefect([0] * 50) as settings, pytest.raises(OrchestratorUnavailable):
        followed(settings, retry_seconds=0.1)
