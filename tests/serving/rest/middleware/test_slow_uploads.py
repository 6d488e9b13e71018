"""Slow uploads occupy nothing that other requests need; request smuggling."""

import json
import socket
from contextlib import ExitStack

import numpy as np
import pytest

from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

PREDICT = "/v1/models/digits:predict"
ONE = {"instances": np.zeros((1, 28, 28), int).tolist()}
BODY = json.dumps(ONE).encode()


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """One worker with two interpreters and places for 32 bodies, eight for one client."""
    place = tmp_path_factory.mktemp("slow")
    folder = bundles.folder(place / "bundle", 1)
    settings = {"maximum_waiting_requests": "32", "maximum_body_bytes": "20000"}
    with run_serving("--rehearse", str(folder), place=place / "home", **settings) as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        yield serving


def begin(serving: Serving, stack: ExitStack, *, chunked: bool = False) -> socket.socket:
    """Send all of a request but the end of its body; returns once it is being read."""
    client = socket.create_connection(("127.0.0.1", serving.port), timeout=60)
    stack.enter_context(client)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(BODY)}"
    client.sendall(
        f"POST {PREDICT} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\n{length}\r\n\r\n".encode()
    )
    assert client.recv(1_000).startswith(b"HTTP/1.1 100 ")
    client.sendall(b"%x\r\n%s\r\n" % (20, BODY[:20]) if chunked else BODY[:20])
    return client


def finish(client: socket.socket, *, chunked: bool = False) -> bytes:
    rest = BODY[20:]
    client.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest) if chunked else rest)
    return client.recv(10_000)


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "in chunks"])
def test_slow_uploads_do_not_delay_inference(serving, chunked):
    with ExitStack() as stack:
        # Given three times as many slow senders as inference slots.
        slow = [begin(serving, stack, chunked=chunked) for _ in range(6)]

        # When others send requests, then they are answered at once, and each slow one in the end.
        assert {serving.request("POST", PREDICT, ONE)[0] for _ in range(10)} == {200}
        assert {finish(upload, chunked=chunked)[:13] for upload in slow} == {b"HTTP/1.1 200 "}


def is_answered(serving: Serving) -> bool:
    return serving.request("POST", PREDICT, ONE)[0] == 200


def test_slow_uploads_of_one_address_give_way_to_its_next_request(serving):
    with ExitStack() as stack:
        # Given all places of one client taken by slow senders.
        slow = [begin(serving, stack) for _ in range(8)]

        # When others behind the same address send requests, the slowest makes place.
        until(lambda: is_answered(serving), what="a quick request is answered")

        # Then it is told so, and its connection closed; those that were not in the way go on.
        slow[0].settimeout(60)
        given_up = b"".join(iter(lambda: slow[0].recv(10_000), b""))
        assert given_up.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in given_up.lower()
        assert b"send it again" in given_up
        assert finish(slow[-1]).startswith(b"HTTP/1.1 200 ")


def test_silent_bodies_keep_nobody_out(serving):
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(200):
            silent = socket.create_connection(("127.0.0.1", serving.port), timeout=60)
            stack.enter_context(silent).sendall(head)

        until(lambda: is_answered(serving), what="a request is answered")

        assert all(is_answered(serving) for _ in range(20))
        assert serving.request("GET", "/v2/health/live")[0] == 200


def test_the_body_limit_applies_to_chunked_bodies(serving):
    with ExitStack() as stack:
        client = begin(serving, stack, chunked=True)
        for _ in range(30):
            client.sendall(b"%x\r\n%s\r\n" % (1_000, b" " * 1_000))

        answer = client.recv(10_000)
        # A body may come in a piece of its own.
        while not answer.endswith(b"}"):
            answer += client.recv(10_000)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"at most 20000 bytes" in answer


@pytest.mark.parametrize(
    "lengths",
    ["Content-Length: 4\r\nContent-Length: 5", "Content-Length: -4", "Content-Length: 4x",
     "Content-Length: 99999999999999999999"],
)  # fmt: skip
def test_contradictory_lengths_are_refused_and_the_connection_closed(serving, lengths):
    with socket.create_connection(("127.0.0.1", serving.port), timeout=60) as client:
        client.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: test\r\n{lengths}\r\n\r\n{{}}".encode())

        # All of it, up to the end that the server makes.
        answer = b"".join(iter(lambda: client.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_request_hidden_in_a_body_is_not_handled(serving):
    """Both lengths given: what counts are the chunks (RFC 9112, section 6.3)."""
    hidden = b"GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n"
    with socket.create_connection(("127.0.0.1", serving.port), timeout=60) as client:
        client.sendall(
            f"POST {PREDICT} HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()
            + hidden
        )

        received = b""
        while part := client.recv(10_000):
            received += part

    assert received.count(b"HTTP/1.1 ") == 1
    assert "/hidden" not in serving.log.read_text()


def test_the_server_header_contains_no_release(serving):
    headers = serving.request("GET", "/v2/health/live")[1]

    assert headers["server"] == "granian"
    assert "x-powered-by" not in headers
