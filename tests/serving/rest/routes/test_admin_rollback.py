"""Administrators roll back over HTTP."""

import threading

import pytest

from overnight.serving.rest import administration
from overnight.serving.rest.app import create_application
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.store.errors import StoreDenied
from overnight.store.objects import keys
from tests.support.serving import bucket_history, bundles
from tests.support.serving.clients import LIMITS, application_of
from tests.support.serving.stepped_host import OUTAGE, Flaky, answers, champion, settle
from tests.support.signing_keys import signing_registry

TOKEN = "a-token-for-tests-only"
PATH = "/api/models/digits/rollback"
FIRST, SECOND, THIRD = (bundles.version_name(number) for number in (1, 2, 3))
NEVER = "20200101T000000-0123456789ab"
WHY = {"reason": "sevens were read as ones"}
PROBLEM = "application/problem+json"


@pytest.fixture
def bucket() -> Flaky:
    """Three approved versions, of which the first two have served; the fourth was rejected."""
    bucket = Flaky()
    for number in (1, 2, 3):
        bucket_history.publish(bucket, number)
    bucket_history.publish(bucket, 4, approved=False)
    for number in (1, 2):
        bucket_history.promote(bucket, number)
    return bucket


@pytest.fixture
def agent(worker):
    agent = worker()
    settle(agent)
    return agent


@pytest.fixture
def send(agent, bucket):
    """Ask for a rollback as an administrator, unless told otherwise."""
    administrators = Tokens(token=TOKEN, name="ada")
    client = create_application(
        agent.router,
        limits=LIMITS,
        status=agent.status,
        administrators=administrators,
        registry=signing_registry(bucket),
    ).test_client()

    def post(body, *, path: str = PATH, token: str = TOKEN):
        return client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})

    return post


def test_the_previous_version_becomes_champion_with_actor_and_reason(send, bucket, agent):
    answer = send({"reason": "  sevens were\nread as ones "})

    record = answer.get_json()["record"]
    assert answer.status_code == 200
    assert (record["version"], record["previous"], record["action"]) == (
        FIRST,
        SECOND,
        "rolled back",
    )
    assert (record["by"], record["reason"], record["sequence"]) == ("ada", WHY["reason"], 3)
    settle(agent)
    assert answers(agent) == FIRST


def test_any_approved_version_can_be_named(send, bucket):
    assert send(WHY | {"to": THIRD, "expected": SECOND}).get_json()["record"]["version"] == THIRD
    assert champion(bucket) == THIRD


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": " \n "},
        {"reason": 7},
        {"reason": None},
        {"reason": "x" * 501},
        WHY | {"to": "../../etc/passwd"},
        WHY | {"to": 7},
        WHY | {"expected": "the last one"},
        [],
    ],
    ids=repr,
)
def test_an_invalid_request_changes_nothing(send, bucket, body):
    answer = send(body)

    assert (answer.status_code, answer.mimetype) == (400, PROBLEM)
    assert "expected" in answer.get_json()["detail"]
    assert champion(bucket) == SECOND


@pytest.mark.parametrize("token", ["", "a-token-of-somebody-else", TOKEN[:-1]])
def test_a_wrong_token_changes_nothing(send, bucket, token):
    answer = send(WHY, token=token)

    assert (answer.status_code, answer.mimetype) == (401, PROBLEM)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert champion(bucket) == SECOND


def test_without_administrators_it_is_forbidden_and_the_setting_named():
    answer = application_of().post(PATH, json=WHY)

    assert answer.status_code == 403
    assert "OVERNIGHT_ADMIN_TOKEN" in answer.get_json()["detail"]


def test_an_unknown_model_is_not_found(send):
    assert send(WHY, path="/api/models/sales/rollback").status_code == 404


def test_an_unknown_version_is_not_found(send, bucket):
    answer = send(WHY | {"to": "20200101T000000-0123456789ab"})

    assert answer.status_code == 404
    assert champion(bucket) == SECOND


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"to": SECOND}, "is the champion of digits already"),
        ({"to": bundles.version_name(4)}, "is not approved"),
        ({"expected": FIRST}, "expected"),
        ({"expected": NEVER}, f"expected {NEVER}"),
        ({"expected": NEVER, "to": FIRST}, f"expected {NEVER}"),
        ({"expected": FIRST, "to": THIRD}, "expected"),
    ],
)
def test_a_rollback_that_log_or_decisions_forbid_is_a_conflict(send, bucket, body, message):
    answer = send(WHY | body)

    assert (answer.status_code, answer.mimetype) == (409, PROBLEM)
    assert message in answer.get_json()["detail"]
    assert champion(bucket) == SECOND


def test_the_first_champion_cannot_be_rolled_back(send, bucket):
    send(WHY)
    answer = send(WHY)

    assert answer.status_code == 409
    assert "name a version" in answer.get_json()["detail"]


def test_a_concurrent_rollback_to_another_version_is_a_conflict(send, bucket):
    send(WHY | {"expected": SECOND, "to": FIRST})
    answer = send(WHY | {"expected": SECOND, "to": THIRD})

    assert answer.status_code == 409
    assert FIRST in answer.get_json()["detail"]
    assert champion(bucket) == FIRST


def test_a_damaged_log_is_a_conflict_in_words(send, bucket):
    bucket._objects[keys.alias_record(bundles.MODEL, "champion", 2)] = b"{}"

    answer = send(WHY)

    assert (answer.status_code, answer.mimetype) == (409, PROBLEM)
    # The damaged record counts for nothing, so the champion is the one before it.
    assert "nothing served digits before" in answer.get_json()["detail"]


@pytest.mark.parametrize("error", [OUTAGE, StoreDenied("http://store", "AccessDenied")])
def test_without_the_store_nothing_can_be_changed(send, bucket, error):
    bucket.error = error

    answer = send(WHY)

    assert (answer.status_code, answer.mimetype) == (503, PROBLEM)
    assert "the object store" in answer.get_json()["detail"]


def test_only_one_request_at_a_time_waits_for_the_store(send, bucket):
    held, released = threading.Event(), threading.Event()

    def read(key: str, limit: int) -> bytes:
        held.set()
        released.wait(20)
        return Flaky.read(bucket, key, limit)

    bucket.read = read
    first = threading.Thread(target=lambda: send(WHY))
    first.start()
    held.wait(20)

    second = send(WHY)
    released.set()
    first.join()

    assert second.status_code == 503
    assert "Retry-After" in second.headers
    assert champion(bucket) == FIRST
    assert administration._writing.acquire(blocking=False)
    administration._writing.release()
