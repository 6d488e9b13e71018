"""Administrators decide over HTTP about versions that wait, earlier versions and arrivals."""

import pytest

from overnight.serving.rest.app import create_application
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.registry.registry import Registry
from overnight.store.trust.trusted_keys import Trust
from tests.support.serving import bucket_history, bundles
from tests.support.serving.clients import LIMITS
from tests.support.serving.stepped_host import Flaky, answers, champion, settle
from tests.support.signing_keys import SIGNER, alias_log, named, registry, signing_registry

TOKEN = "a-token-for-tests-only"
MODEL = "/api/models/digits"
FIRST, SECOND, THIRD, WAITING = (bundles.version_name(number) for number in (1, 2, 3, 4))
NEVER = "20200101T000000-0123456789ab"
WHY = {"reason": "it reads sevens well"}
APPROVE, REJECT = (f"{MODEL}/versions/{WAITING}/{verb}" for verb in ("approve", "reject"))
MOVE = f"{MODEL}/versions/{FIRST}/promote"
ACCEPT, EXCLUDE = (f"{MODEL}/arrivals/night-7/{verb}" for verb in ("accept", "exclude"))
EVERY = (APPROVE, REJECT, MOVE, ACCEPT, EXCLUDE)
PROBLEM = "application/problem+json"


@pytest.fixture
def bucket() -> Flaky:
    """The third of three versions serves, the fourth was compared with it and waits."""
    bucket = Flaky()
    for number in (1, 2, 3):
        bucket_history.publish(bucket, number)
        bucket_history.promote(bucket, number)
    bucket_history.publish(bucket, 4, approved=None)
    ArrivalReviews(bucket, "digits").park("night-7", (), compared_with=THIRD)
    return bucket


@pytest.fixture
def agent(worker):
    agent = worker()
    settle(agent)
    return agent


@pytest.fixture
def client_of(agent):
    def make(store: Registry, administrators: Tokens):
        return create_application(
            agent.router,
            limits=LIMITS,
            status=agent.status,
            administrators=administrators,
            registry=store,
        ).test_client()

    return make


@pytest.fixture
def send(client_of, bucket):
    client = client_of(signing_registry(bucket), Tokens(token=TOKEN, name="ada"))

    def post(path: str, body=WHY, *, token: str = TOKEN):
        return client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})

    return post


def test_an_approved_version_serves_and_both_records_say_who_and_why(send, bucket, agent):
    response = send(APPROVE)
    settle(agent)

    record, decision = response.json["record"], registry(bucket).decisions.find(WAITING)
    assert (response.status_code, record["version"], record["action"]) == (200, WAITING, "promoted")
    assert (record["by"], record["reason"], record["authenticated"]) == ("ada", WHY["reason"], True)
    assert decision is not None
    assert (decision.verdict, decision.by, decision.authenticated) == ("approved", "ada", True)
    assert answers(agent) == WAITING


def test_an_approval_that_is_sent_again_changes_nothing_more(send, bucket):
    first, again = send(APPROVE), send(APPROVE)

    assert (again.status_code, again.json) == (200, first.json)
    assert len(alias_log(bucket, "digits").history()) == 4


def test_a_version_that_was_compared_with_another_champion_is_not_approved(send, bucket):
    send(MOVE)

    response = send(APPROVE)

    assert (response.status_code, response.content_type) == (409, PROBLEM)
    assert THIRD in response.json["detail"]
    assert FIRST in response.json["detail"]
    assert registry(bucket).decisions.find(WAITING) is None


def test_a_rejected_version_is_rejected_for_good(send, bucket):
    response = send(REJECT)

    assert (response.status_code, response.json["record"]["verdict"]) == (200, "rejected")
    late = send(APPROVE)
    assert late.status_code == 409
    assert "rejected by ada" in late.json["detail"]
    assert champion(bucket) == THIRD


def test_the_champion_moves_to_a_version_that_was_approved_before(send, bucket):
    response = send(MOVE, WHY | {"expected": THIRD})

    assert (response.status_code, response.json["record"]["action"]) == (200, "promoted")
    assert champion(bucket) == FIRST
    lost = send(f"{MODEL}/versions/{SECOND}/promote", WHY | {"expected": THIRD})
    assert (lost.status_code, champion(bucket)) == (409, FIRST)


def test_a_version_that_nobody_approved_is_not_promoted(send, bucket):
    response = send(f"{MODEL}/versions/{WAITING}/promote")

    assert response.status_code == 409
    assert "is not approved" in response.json["detail"]
    assert champion(bucket) == THIRD


@pytest.mark.parametrize(("path", "verdict"), [(ACCEPT, "accepted"), (EXCLUDE, "excluded")])
def test_a_parked_arrival_is_decided_about(send, bucket, path, verdict):
    response = send(path)

    review = ArrivalReviews(bucket, "digits").decision("night-7")
    assert (response.status_code, response.json["record"]["verdict"]) == (200, verdict)
    assert review is not None
    assert (review.verdict, review.by, review.authenticated) == (verdict, "ada", True)


def test_an_arrival_that_was_not_parked_is_named(send, bucket):
    response = send(f"{MODEL}/arrivals/night-8/accept")

    assert response.status_code == 404
    assert "no arrival 'night-8' of digits is parked" in response.json["detail"]
    assert ArrivalReviews(bucket, "digits").decision("night-8") is None


@pytest.mark.parametrize("path", EVERY)
def test_a_wrong_token_is_called_so_and_changes_nothing(send, bucket, path):
    response = send(path, token="some-other-token-1")

    assert (response.status_code, response.content_type) == (401, PROBLEM)
    assert "token" in response.json["detail"]
    assert registry(bucket).decisions.find(WAITING) is None
    assert champion(bucket) == THIRD
    assert ArrivalReviews(bucket, "digits").decision("night-7") is None


@pytest.mark.parametrize("path", EVERY)
def test_without_administrators_the_setting_is_named(client_of, bucket, path):
    response = client_of(signing_registry(bucket), Tokens()).post(path, json=WHY)

    assert response.status_code == 403
    assert "OVERNIGHT_ADMIN_TOKENS_FILE" in response.json["detail"]


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": 7}, {"reason": "x" * 501}])
def test_a_decision_needs_a_reason(send, path, body):
    response = send(path, body)

    assert response.status_code == 400
    assert response.json["detail"].startswith("reason: expected 1 to 500 characters")


@pytest.mark.parametrize("verb", ["approve", "reject", "promote"])
@pytest.mark.parametrize(
    ("version", "status", "message"),
    [(NEVER, 404, "has no version"), ("newest", 404, "is not the name of a version")],
)
def test_a_version_that_does_not_exist_is_named(send, verb, version, status, message):
    response = send(f"{MODEL}/versions/{version}/{verb}")

    assert response.status_code == status
    assert message in response.json["detail"]


@pytest.mark.parametrize("path", [APPROVE, REJECT])
def test_a_key_without_the_right_stores_no_decision_that_would_never_count(client_of, bucket, path):
    trust = Trust([named(SIGNER, "operator", "aliases")])
    client = client_of(Registry(bucket, trust, lambda: SIGNER), Tokens(token=TOKEN, name="ada"))

    response = client.post(path, json=WHY, headers={"Authorization": f"Bearer {TOKEN}"})

    assert response.status_code == 409
    assert "overnight keys rotate NAME --for operator" in response.json["detail"]
    assert registry(bucket).decisions.find(WAITING) is None
