"""Webhooks are signed, tried again, and never follow a redirect."""

import json
import re
import time
from pathlib import Path

import pytest

from overnight.infra.stack.ports import free_port
from overnight.tasks.errors import NotDelivered
from overnight.tasks.notify.delivery import deliver
from overnight.tasks.notify.message import Message
from overnight.tasks.notify.webhook import DELIVERY, SIGNATURE, Webhook, signature
from tests.support.webhook_receiver import receiving

SECRET = "a-secret-that-is-long-enough"
MESSAGE = Message("refused", "digits: retrain ended Refused", reason="accuracy 0.91 < 0.95")
DOCS = Path(__file__).parents[3] / "docs" / "monitoring" / "notifications.md"


def webhook(url: str, **changed) -> Webhook:
    return Webhook(url, SECRET, **{"timeout_seconds": 5.0, "pauses_seconds": (0, 0)} | changed)


def documented_verifier():
    """The function that the docs give to receivers."""
    code = re.search(r"```python\n(import hashlib.*?)```", DOCS.read_text(), re.DOTALL)
    assert code is not None
    assert len(code[1].strip().splitlines()) <= 12
    names: dict = {}
    exec(code[1], names)  # noqa: S102
    return names["is_genuine"]


def test_the_documented_verifier_accepts_what_is_sent_and_nothing_else():
    is_genuine = documented_verifier()
    with receiving() as receiver:
        webhook(receiver.url).send(MESSAGE)
    header, body = receiver.headers[0][SIGNATURE], receiver.bodies[0]

    assert is_genuine(SECRET, header, body)
    assert not is_genuine(SECRET, header, body.replace(b"0.91", b"0.99"))
    assert not is_genuine("another-secret-of-that-length", header, body)
    old = signature(SECRET, body, at=int(time.time()) - 600)
    assert not is_genuine(SECRET, old, body)
    for nonsense in ("", "t=,v1=", "v1=00", f"t=x,v1={'0' * 64}"):
        assert not is_genuine(SECRET, nonsense, body)


def test_the_body_has_what_a_person_needs():
    with receiving() as receiver:
        webhook(receiver.url).send(MESSAGE)

    document = json.loads(receiver.bodies[0])
    assert document["kind"] == "refused"
    assert document["reason"] == "accuracy 0.91 < 0.95"
    assert document["id"] == receiver.headers[0][DELIVERY] == MESSAGE.id


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_receiver_that_fails_for_a_while_gets_the_same_delivery_again(status):
    with receiving(status, 200) as receiver:
        webhook(receiver.url).send(MESSAGE)

    assert len({headers[DELIVERY] for headers in receiver.headers}) == 1
    assert receiver.bodies[0] == receiver.bodies[1]


def test_a_receiver_that_keeps_failing_is_given_up():
    with receiving(500) as receiver, pytest.raises(NotDelivered, match="answered 500"):
        webhook(receiver.url).send(MESSAGE)

    assert len(receiver.bodies) == 3


def test_a_pause_that_the_receiver_names_is_kept():
    with receiving(429, 200, headers={"Retry-After": "1"}) as receiver:
        begun = time.monotonic()
        webhook(receiver.url).send(MESSAGE)

    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_refusal_is_final(status):
    with receiving(status) as receiver, pytest.raises(NotDelivered, match=f"answered {status}"):
        webhook(receiver.url).send(MESSAGE)

    assert len(receiver.bodies) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status):
    with receiving() as elsewhere:
        headers = {"Location": elsewhere.url}
        with (
            receiving(status, headers=headers) as receiver,
            pytest.raises(NotDelivered, match="redirects are not followed"),
        ):
            webhook(receiver.url).send(MESSAGE)

    assert elsewhere.bodies == []
    assert len(receiver.bodies) == 1


def test_a_receiver_that_hangs_costs_no_more_than_its_time_out():
    with receiving(0) as receiver:
        begun = time.monotonic()
        with pytest.raises(NotDelivered, match=r"no answer within 0\.2 s"):
            webhook(receiver.url, timeout_seconds=0.2, pauses_seconds=(0,)).send(MESSAGE)

    assert len(receiver.bodies) == 2
    assert time.monotonic() - begun < 10


def test_a_receiver_that_is_away_is_named_without_its_path():
    url = f"http://127.0.0.1:{free_port()}/services/T000/very-secret"

    (delivery,) = deliver(MESSAGE, [webhook(url)])

    assert delivery.channel == "webhook at 127.0.0.1"
    assert "ConnectError" in delivery.problem
    assert "very-secret" not in str(delivery)
    assert "very-secret" not in repr(webhook(url))
    assert SECRET not in repr(webhook(url))


def test_a_channel_that_fails_keeps_nothing_from_the_others():
    class Broken:
        name = "broken"

        def send(self, message):
            raise RuntimeError("a bug\x1b[2J")

    with receiving() as receiver:
        deliveries = deliver(MESSAGE, [Broken(), webhook(receiver.url)])

    assert [str(each) for each in deliveries] == [
        "broken: RuntimeError: a bug\\x1b[2J",
        "webhook at 127.0.0.1: delivered",
    ]
