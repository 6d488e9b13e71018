"""The bodies that are being received: a least rate, a deadline, and the slowest given up first."""

import asyncio
import itertools
import json

import numpy as np
import pytest

from overnight.serving.errors import Overloaded
from overnight.serving.inference.limits import Limits
from overnight.serving.rest.server import Server
from overnight.serving.rest.uploads import Upload, Uploads
from tests.support import event_loop
from tests.support.serving.clients import INFER, PREDICT, application_of, refused, v2
from tests.support.serving.server_in_memory import Protocol, post, scope, send

BODY = json.dumps(v2()).encode()
LENGTH = ("Content-Length", str(len(BODY)))
CHUNKED = ("Transfer-Encoding", "chunked")
LIMITS = Limits(waiting=8, body_bytes_per_second=100, body_grace_seconds=10, body_seconds=60)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Company:
    """Bodies that are received while a test moves the clock."""

    def __init__(self) -> None:
        self.clock, self.dropped = Clock(), []
        self.uploads = Uploads(LIMITS, clock=self.clock)

    def begin(self, name: str, client: str = "shop") -> Upload:
        return self.uploads.begin(client, lambda: self.dropped.append(name))


@pytest.fixture
def company() -> Company:
    return Company()


def test_a_silent_body_is_given_up_after_its_grace(company):
    company.begin("silent")

    company.clock.now = 10.0
    company.uploads.drop_late()
    assert company.dropped == []
    company.clock.now = 10.1
    company.uploads.drop_late()
    company.uploads.drop_late()

    assert company.dropped == ["silent"]


@pytest.mark.parametrize(("rate", "dropped"), [(99, []), (49, ["dripping"])])
def test_a_body_must_come_at_the_least_rate_on_the_whole(company, rate, dropped):
    dripping = company.begin("dripping")
    for _ in range(30):
        company.clock.now += 1
        dripping.received += rate
        company.uploads.drop_late()

    assert company.dropped == dropped


def test_a_body_must_end_within_its_time_however_fast_it_comes(company):
    endless = company.begin("endless")
    endless.received = 10_000_000

    company.clock.now = 61
    company.uploads.drop_late()

    assert company.dropped == ["endless"]
    assert endless.dropped.startswith("expected its end within 60 s")


def test_slow_bodies_of_a_client_keep_its_next_one_out_for_no_longer_than_a_second(company):
    # Given as many as one client may send at once.
    for name in ("first", "second"):
        company.begin(name)
        company.clock.now += 0.4

    with pytest.raises(Overloaded, match="2 bodies of this client"):
        company.begin("third")
    company.clock.now += 0.4
    company.begin("third")
    company.begin("another client's", client="lab")

    assert company.dropped == ["first"]


def test_the_slowest_of_all_makes_place_for_another_client(company):
    uploads = [company.begin(f"{n}", client=f"client-{n}") for n in range(8)]
    company.clock.now = 5
    for number, upload in enumerate(uploads):
        upload.received = 1_000 if number != 6 else 20

    company.begin("new", client="new")

    assert company.dropped == ["6"]


def test_fast_bodies_are_never_given_up_for_others(company):
    uploads = [company.begin(f"{n}", client=f"client-{n}") for n in range(8)]
    company.clock.now = 5
    for upload in uploads:
        upload.received = 1_000

    with pytest.raises(Overloaded, match="8 bodies are being received"):
        company.begin("new", client="new")

    assert company.dropped == []


@pytest.mark.parametrize("length", [LENGTH, CHUNKED], ids=["of known length", "in chunks"])
def test_a_body_that_stops_coming_is_answered_408_and_the_connection_closed(length):
    client = application_of(limits=Limits(body_grace_seconds=0.1, waiting=8))

    answer = send(client.application, scope(INFER, length), Protocol([BODY[:20]], ends=False))

    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert "send it again over a faster connection" in answer.json["error"]
    assert refused(client, "slow") == 1


def test_bodies_that_are_received_hold_no_place_among_the_requests_that_are_answered():
    """Twice as many as the limits have places."""
    client = application_of(limits=Limits(waiting=4))

    async def run() -> Protocol:
        server = Server(client.application)
        server.__rsgi_init__(asyncio.get_running_loop())
        slow = [Protocol([b"{"], ends=False) for _ in range(4)]
        tasks = [
            asyncio.create_task(server.__rsgi__(scope(INFER, LENGTH, client=f"192.0.2.{n}:1"), one))
            for n, one in enumerate(slow)
        ]
        for one in slow:
            await one.began.wait()
        quick = Protocol([])
        await server.__rsgi__(scope("/v2", method="GET"), quick)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return quick

    quick = event_loop.run(run())

    assert quick.answer is not None
    assert quick.answer.status == 200


@pytest.mark.parametrize(
    ("body", "length", "status", "message"),
    [
        (b"{}" + b" " * 100_000, CHUNKED, 413, "at most 100000 bytes"),
        (b"", ("Content-Length", "100001"), 413, "found 100001"),
        (b"", ("Content-Length", "9" * 5_000), 413, "at most 100000 bytes"),
        (b"{}", ("Content-Length", "90"), 400, "expected 90 bytes, found an end at 2"),
        (b"{}", ("Content-Length", "90000"), 400, "expected 90000 bytes"),
        (b"{}", ("Content-Length", "-1"), 400, "Content-Length"),
        (b"{}", ("Content-Length", "²"), 400, "Content-Length"),
        (b"{}", ("Content-Length", "1e1"), 400, "Content-Length"),
    ],
    ids=["chunked", "says too much", "says absurdly much", "short", "large and short", "negative",
         "not ASCII", "not an integer"],
)  # fmt: skip
def test_a_body_over_the_limit_is_refused_whatever_it_declares(
    client, body, length, status, message
):
    answer = send(client.application, scope(INFER, length), Protocol([body]))

    assert answer.status == status
    assert message in answer.json["error"]


@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_no_more_than_the_limit_is_read_of_an_endless_body(client, path):
    endless = Protocol(itertools.repeat(b" " * 10_000))

    answer = send(client.application, scope(path, CHUNKED), endless)

    assert answer.status == 413
    assert endless.given == 11


def test_a_chunked_body_is_accepted(client):
    body = json.dumps({"instances": np.zeros((2, 28, 28), int).tolist()}).encode()

    answer = send(client.application, scope(PREDICT, CHUNKED), Protocol([body[:100], body[100:]]))

    assert answer.status == 200
    assert len(answer.json["predictions"]) == 2


def test_large_bodies_share_bounded_memory():
    client = application_of(limits=Limits(large_bytes=150_000))
    large = b"{" + b" " * 100_000

    assert post(client.application, INFER, large).status == 400
    with client.application.wsgi_app.holding() as hold:
        hold(100_000)
        answer = post(client.application, INFER, large)
    again = post(client.application, INFER, large)

    assert (answer.status, again.status) == (503, 400)
    assert "memory" in answer.json["error"]


def test_a_slow_large_body_gives_its_memory_to_another_one():
    client = application_of(limits=Limits(large_bytes=150_000))

    async def run() -> tuple[Protocol, Protocol]:
        server = Server(client.application)
        server.__rsgi_init__(asyncio.get_running_loop())
        slow = Protocol([b" " * 100_000], ends=False)
        first = asyncio.create_task(server.__rsgi__(scope(INFER, CHUNKED), slow))
        await slow.began.wait()
        # So that it is late: the rate on the whole is what it has sent in five seconds.
        (upload,) = server._uploads._uploads
        upload.began -= 10
        other = Protocol([b"{" + b" " * 100_000])
        await server.__rsgi__(scope(INFER, CHUNKED, client="192.0.2.7:1"), other)
        await first
        return slow, other

    slow, other = event_loop.run(run())

    assert slow.answer is not None
    assert other.answer is not None
    assert (slow.answer.status, other.answer.status) == (408, 400)
