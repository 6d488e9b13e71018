"""The token of temporary credentials goes with every request, and nobody else's ever does."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from overnight.infra import connections
from overnight.infra.settings import load
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import OvernightError
from tests.support.limits import LIMIT

HEADER = "x-amz-security-token"


@pytest.fixture
def sent() -> Iterator[tuple[str, list[str | None]]]:
    """The address of a store that refuses everything, and which tokens it was sent."""
    tokens: list[str | None] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers.get(HEADER))
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", tokens
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("given", "expected"), [("of-ours", "of-ours"), ("", None)])
def test_a_session_token_is_sent_by_whatever_asks_the_store_and_a_shells_is_not(
    sent, given, expected, monkeypatch, tmp_path
):
    endpoint, tokens = sent
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", endpoint)
    monkeypatch.setenv("OVERNIGHT_S3_SECRET_KEY", "secret")
    monkeypatch.setenv("OVERNIGHT_S3_SESSION_TOKEN", given)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebodys-shell")

    settings = load()
    for ask in (
        lambda: connections.bucket(settings).read("a", LIMIT),
        lambda: Dataset.on_s3(connections.address(settings), "digits", "rows").version(),
    ):
        tokens.clear()
        with suppress(OvernightError):
            ask()
        assert {*tokens} == {expected}

    assert "of-ours" not in f"{settings!r} {connections.address(settings)!r}"
