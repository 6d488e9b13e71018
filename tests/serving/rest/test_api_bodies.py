"""All addresses of our own API with all kinds of bodies: no 5xx, and every error in words.

`test_fuzz.py` sends malformed HTTP over real connections; here the requests are well-formed, and
their bodies are not what an operation expects, or name what never was.
"""

import gzip
import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient

from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.store.objects import keys
from overnight.store.registry.actor import Actor
from overnight.store.registry.promotions import Promotions
from tests.support.serving import bucket_history, bundles
from tests.support.serving.clients import application_of
from tests.support.serving.stepped_host import OUTAGE, Flaky
from tests.support.signing_keys import signing_registry

SEED, REQUESTS = 20261201, 400
MODEL = bundles.MODEL
TOKEN = "a-token-for-tests-only"
PROBLEM = "application/problem+json"
NEVER = "20200101T000000-0123456789ab"
FIELDS = ("reason", "expected", "to", "version", "mode", "share", "minimum_requests", "x")
SCALARS: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, 1e308, "", "x", "a reason", "é\u2028", "\ud800", "\x00",
    "x" * 600, "shadow", "canary", NEVER, "29991231T235959-ffffffffffff",
    "20261399T999999-0123456789ab",
    *(bundles.version_name(number) for number in range(1, 6)), "../../etc/passwd",
)  # fmt: skip
STATES = ("nothing promoted", "promoted", "rolled back", "a damaged log", "a damaged challenge",
          "damaged versions", "damaged decisions", "the store away")  # fmt: skip


def bucket_in(state: str) -> Flaky:
    """A bucket with four versions, of which the fourth was rejected."""
    bucket = Flaky()
    for number in (1, 2, 3):
        bucket_history.publish(bucket, number)
    bucket_history.publish(bucket, 4, approved=False)
    if state != "nothing promoted":
        for number in (1, 2):
            bucket_history.promote(bucket, number)
    return bucket


def value(chance: random.Random, depth: int = 0) -> Any:
    """JSON of any kind."""
    kind = chance.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 7:
        return {chance.choice(FIELDS): value(chance, depth + 1) for _ in range(chance.randrange(4))}
    return chance.choice(SCALARS)


def body(chance: random.Random) -> bytes:
    """Mostly an object with the fields that the operations know; sometimes no JSON at all."""
    match chance.randrange(8):
        case 0:
            return chance.randbytes(chance.randrange(40))
        case 1:
            return json.dumps(value(chance)).encode()
        case 2:
            return b"[" * 100_000
        case _:
            known = {field: value(chance, 2) for field in FIELDS if chance.random() < 0.4}
            return json.dumps({"reason": "a reason"} | known).encode()


@dataclass(frozen=True)
class Answered:
    status: int
    where: str
    in_words: bool

    def is_right(self, state: str) -> bool:
        """Below 500, or 503 where the store is away; and every error in words."""
        expected = self.status < 500 or (self.status == 503 and state == "the store away")
        return expected and (self.status < 400 or self.in_words)


def answer_of(client: FlaskClient, chance: random.Random, method: str, rule: str) -> Answered:
    path = rule.replace("<model>", chance.choice([MODEL] * 9 + ["nothing"]))
    path = path.replace("<version>", chance.choice([bundles.version_name(1), NEVER, "x"]))
    sent, headers = body(chance)[:200_000], {"Authorization": f"Bearer {TOKEN}"}
    if chance.random() < 0.2:
        encodings = ["gzip", "deflate", "identity", "br", "gzip, br"]
        headers["Content-Encoding"] = chance.choice(encodings)
        sent = gzip.compress(sent) if chance.random() < 0.5 else sent
    kinds = ["application/json"] * 9 + ["text/html", 'a/b; c="', "é"]
    headers["Content-Type"] = chance.choice(kinds)
    with client.open(path, method=method, data=sent, headers=headers) as answer:
        content, status = answer.get_data(), answer.status_code
        problem = json.loads(content) if answer.mimetype == PROBLEM else {}
        return Answered(
            status,
            f"{method} {path} {headers} {sent[:200]!r}: {status} {content[:300]!r}",
            bool(problem.get("status") == status and problem.get("detail")),
        )


def damage(bucket: Flaky, state: str) -> None:
    """Bring a bucket with two promotions into a state."""
    if state == "rolled back":
        Promotions(signing_registry(bucket).model(MODEL)).roll_back(
            expected=bundles.version_name(2), to=None, actor=Actor("ada", "it was worse")
        )
    elif state == "a damaged log":
        bucket._objects[keys.alias_record(MODEL, "champion", 2)] = b"{}"
    elif state == "a damaged challenge":
        bucket.create(keys.alias_record(MODEL, "challenger", 1), b"?")
    elif state == "damaged versions":
        for number in (1, 3):
            bucket._objects[keys.manifest(MODEL, bundles.version_name(number))] = b"{}"
    elif state == "damaged decisions":
        for number in (1, 3):
            bucket._objects[keys.decision(MODEL, bundles.version_name(number))] = b"[]"
    elif state == "the store away":
        bucket.error = OUTAGE


@pytest.mark.parametrize("state", STATES)
def test_no_body_at_any_address_of_the_api_causes_an_internal_error(state):
    # Given a host whose store is in this state.
    chance = random.Random(f"{SEED} {state}")
    bucket = bucket_in(state)
    damage(bucket, state)
    client = application_of(administrators=Tokens(token=TOKEN), registry=signing_registry(bucket))
    rules = [rule for rule in client.application.url_map.iter_rules() if "/api/" in rule.rule]
    operations = [
        (method, rule.rule)
        for rule in rules
        for method in sorted(rule.methods or ())
        if method not in {"HEAD", "OPTIONS"}
    ]
    writing = [operation for operation in operations if operation[0] != "GET"]

    # When all kinds of bodies are sent to all addresses, then none is answered in other words than
    # the problem's.
    answers = [
        answer_of(client, chance, *chance.choice(operations if n % 4 == 0 else writing))
        for n in range(REQUESTS)
    ]
    statuses = Counter(answer.status for answer in answers)
    assert [answer.where for answer in answers if not answer.is_right(state)] == []
    assert {400, 415} < statuses.keys()
