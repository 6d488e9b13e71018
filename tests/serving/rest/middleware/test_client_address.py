"""The client of a request: its address or the forwarded one, and the headers that name it."""

import json

import pytest

from overnight.serving.inference.limits import Limits
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.client_address import TrustedProxies
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.store.errors import ConfigurationError
from tests.support.serving.clients import INFER, application_of, v2
from tests.support.serving.server_in_memory import Protocol, post, scope, send

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8::1"])
BODY = json.dumps(v2()).encode()
KEY = "k" * 32


@pytest.mark.parametrize(
    ("address", "forwarded", "client"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
        # What the client itself sent stands to the left of what a trusted proxy added.
        ("10.0.0.1", "127.0.0.1, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.9,192.0.2.7,10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        # Nobody else's word counts.
        ("192.0.2.1", "192.0.2.7", "192.0.2.1"),
        ("2001:db8::2", "192.0.2.7", "2001:db8::2"),
        ("shop", "192.0.2.7", "shop"),
        # What is no address ends the way back.
        ("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ",", "10.0.0.1"),
        # All trusted: the first of them sent it.
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(address, forwarded, client):
    assert PROXIES.client(address, forwarded) == client


def test_without_trusted_proxies_the_header_means_nothing():
    assert TrustedProxies().client("127.0.0.1", "192.0.2.7") == "127.0.0.1"


def test_a_setting_that_is_no_address_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"OVERNIGHT_TRUSTED_PROXIES: .* 'nginx'"):
        TrustedProxies(["10.0.0.1", "nginx"])


def test_clients_behind_one_trusted_proxy_have_limits_of_their_own(caplog):
    admission = Admission(proxies=PROXIES)
    client = application_of(limits=Limits(per_second=0.5), admission=admission)
    proxy = {"REMOTE_ADDR": "10.0.0.1"}

    statuses = [
        client.post(
            INFER, json=v2(), environ_base=proxy, headers={"X-Forwarded-For": address}
        ).status_code
        for address in ("192.0.2.7", "192.0.2.8", "192.0.2.7", "spoofed, 192.0.2.7")
    ]
    caplog.clear()

    assert statuses == [200, 200, 429, 429]


def test_the_log_names_the_forwarded_client(caplog):
    caplog.set_level("INFO")
    admission = Admission(proxies=PROXIES, log_requests=True)
    client = application_of(admission=admission)

    client.get(
        "/v2",
        environ_base={"REMOTE_ADDR": "10.0.0.1"},
        headers={"X-Forwarded-For": "192.0.2.7"},
    )

    assert [record.client for record in caplog.records if hasattr(record, "client")] == [
        "192.0.2.7"
    ]


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"shop {KEY}\n")
    return application_of(admission=Admission(keys=Tokens(file), proxies=PROXIES)).application


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (("X-API-Key", KEY), 200),
        (("x_api_key", KEY), 401),
        (("X-API_Key", KEY), 401),
        (("authorization", f"Bearer {KEY}"), 200),
    ],
)
def test_a_header_with_an_underscore_is_no_header_of_ours(locked, header, status):
    assert post(locked, INFER, BODY, header).status == status


def test_a_length_with_an_underscore_is_no_length(client):
    answer = send(
        client.application,
        scope(INFER, ("Content-Length", f"{len(BODY)}"), ("Content_Length", "1")),
        Protocol([BODY]),
    )

    assert answer.status == 200


@pytest.mark.parametrize(
    "name", ["X-API-Key", "Authorization", "Content-Encoding", "X-Client-Key", "Content-Type"]
)
def test_a_header_that_decides_something_comes_once(locked, name):
    twice = [(name, "one"), (name, "two")]

    answer = post(locked, INFER, BODY, *twice)

    assert answer.status == 400
    assert f"{name.lower()}: expected one header of this name" in answer.json["error"]


def test_several_forwarded_headers_are_one_list(locked):
    """As RFC 9110 has it; the last proxy's entry is the last of the last."""
    admission = Admission(proxies=PROXIES)
    client = application_of(limits=Limits(per_second=0.5), admission=admission)
    hops = [("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-For", "192.0.2.7, 10.0.0.2")]
    length = ("Content-Length", str(len(BODY)))

    answers = [
        send(
            client.application,
            scope(INFER, length, *headers, client="10.0.0.1:5000"),
            Protocol([BODY]),
        ).status
        for headers in (hops, hops[:1])
    ]

    assert answers == [200, 200]


def test_the_address_of_an_ipv6_client_is_read_without_its_port():
    client = application_of(limits=Limits(per_second=0.5))

    answers = [
        send(client.application, scope("/v2", method="GET", client=address), Protocol([])).status
        for address in ("[2001:db8::7]:5000", "[2001:db8::7]:5001", "[2001:db8:1::7]:5000")
    ]

    assert answers == [200, 429, 200]
