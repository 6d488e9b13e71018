"""Limits of rate, concurrency and body size; refusals with `Retry-After`."""

import io
import json
import threading

import pytest
from werkzeug import Request
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from overnight.infra.settings import Settings
from overnight.serving.errors import Overloaded, TooManyRequests
from overnight.serving.inference.limits import Limits
from overnight.serving.rest.middleware.rate_limits import (
    REMEMBERED_CLIENTS,
    ConcurrencyLimiter,
    RateLimiter,
    client_network,
)
from overnight.serving.wsgi import limits
from tests.support.serving.clients import INFER, PREDICT, application_of, refused, v2
from tests.support.waiting import until


def test_a_client_over_its_rate_gets_429_with_retry_after_and_others_are_served():
    client = application_of(limits=Limits(per_second=0.5))

    first = client.post(INFER, json=v2())
    second = client.post(INFER, json=v2())
    other = client.post(INFER, json=v2(), environ_base={"REMOTE_ADDR": "192.0.2.7"})

    assert (first.status_code, second.status_code, other.status_code) == (200, 429, 200)
    assert 1 <= int(second.headers["Retry-After"]) <= 2
    assert "0.5 requests a second" in second.json["error"]
    assert refused(client, "rate") == 1


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _admitted(rate: RateLimiter, client: str, tries: int) -> int:
    admitted = 0
    for _ in range(tries):
        try:
            rate.take(client)
            admitted += 1
        except TooManyRequests:
            continue
    return admitted


def test_a_token_bucket_holds_two_seconds_and_fills_evenly():
    clock = Clock()
    rate = RateLimiter(10.0, clock=clock)

    assert _admitted(rate, "shop", 50) == 20
    clock.now += 0.5
    assert _admitted(rate, "shop", 50) == 5
    clock.now += 1_000
    assert _admitted(rate, "shop", 50) == 20


def test_the_number_of_remembered_clients_is_bounded():
    rate = RateLimiter(1.0, clock=Clock())

    for number in range(REMEMBERED_CLIENTS + 500):
        rate.take(f"client-{number}")

    assert len(rate._buckets) == REMEMBERED_CLIENTS


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("shop", "shop"),
        ("", ""),
    ],
)
def test_a_client_without_a_key_is_its_network(address, client):
    assert client_network(address) == client


def test_a_client_gets_at_most_a_quarter_of_the_concurrent_requests():
    limiter = ConcurrencyLimiter(Limits(waiting=12), {})
    for request in range(3):
        limiter.enter(request, "shop")

    with pytest.raises(Overloaded, match="3 requests of this client"):
        limiter.enter(3, "shop")
    for request in range(3, 12):
        limiter.enter(request, f"lab-{request % 3}")
    with pytest.raises(Overloaded, match="12 requests"):
        limiter.enter(12, "new")
    limiter.leave(0)
    limiter.enter(13, "new")


@pytest.mark.parametrize(
    ("second", "status"), [("2001:db8:1:2::b", 503), ("2001:db8:1:3::a", 200), ("192.0.2.7", 200)]
)
def test_addresses_of_one_ipv6_network_are_one_client(second, status):
    # Given a limit of one request for each client, and one whose body never ends.
    client = application_of(limits=Limits(waiting=4))
    slow = Trickle(b"{}")
    environ = {"CONTENT_LENGTH": "2", "REMOTE_ADDR": "2001:db8:1:2::a"}
    holding = threading.Thread(target=_post, args=(client, INFER, slow), kwargs=environ)
    holding.start()
    _until_inside(client, 1)

    response = client.get("/v2", environ_base={"REMOTE_ADDR": second})
    slow.may_come.set()
    holding.join()

    assert response.status_code == status


@pytest.mark.parametrize("workers", [1, 4])
def test_limits_are_not_divided_by_the_number_of_workers(workers):
    """A connection stays with one worker, so each worker allows the full limits."""
    chosen = Settings(serving_workers=workers, requests_per_second_per_client=8)

    assert limits(chosen).per_second == 8


class Trickle(io.RawIOBase):
    """A body that arrives when the test allows it."""

    def __init__(self, body: bytes) -> None:
        self._body, self.may_come = io.BytesIO(body), threading.Event()

    def read(self, size: int = -1) -> bytes:
        assert self.may_come.wait(20)
        return self._body.read(size)


def _post(client, path: str, stream, **environ: str) -> TestResponse:
    """Post a stream as a server passes it on, with no other headers than those in `environ`."""
    base = EnvironBuilder(path, method="POST", content_type="application/json").get_environ()
    base.pop("CONTENT_LENGTH", None)
    base |= {"wsgi.input": stream, "wsgi.input_terminated": True, "REMOTE_ADDR": "127.0.0.1"}
    base |= environ
    body, status, headers = run_wsgi_app(client.application, base, buffered=True)
    return TestResponse(body, status, headers, Request(base))


def test_requests_over_the_concurrency_limit_get_503_with_retry_after():
    client = application_of(limits=Limits(waiting=2))
    slow = Trickle(b"{}")
    holding = threading.Thread(
        target=_post, args=(client, INFER, slow), kwargs={"CONTENT_LENGTH": "2"}
    )
    holding.start()
    _until_inside(client, 1)

    response = client.get("/v2")
    healthy = client.get("/v2/health/live"), client.get("/metrics")
    slow.may_come.set()
    holding.join()

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert [item.status_code for item in healthy] == [200, 200]
    assert refused(client, "overloaded") == 1
    assert client.get("/v2").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/" + INFER, "///" + INFER, "/" + PREDICT, "//v2", "//metrics", "/v2//models/digits/infer",
     "/v2/./models/digits/infer", "/api/../v2/models/digits/infer", "/./v2", "/v2/.", "/v2/..",
     INFER + "//"],
)  # fmt: skip
def test_a_path_that_means_another_one_is_unknown(client, path):
    """Otherwise it would bypass the limit of concurrent inference."""
    actual = _post(client, path, io.BytesIO(json.dumps(v2()).encode()), PATH_INFO=path)

    assert actual.status_code == 404


def _until_inside(client, requests: int) -> None:
    name = f'overnight_requests_in_flight{{worker="alone"}} {requests}'
    what = f"{requests} requests are inside"
    until(lambda: name in client.get("/metrics").text.splitlines(), what=what)
