"""Administrators start and stop a challenger over HTTP."""

import pytest

from overnight.serving.rest.app import create_application
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.store.errors import StoreDenied
from overnight.store.registry.alias_rules import CHALLENGER
from tests.support.serving import bucket_history, bundles
from tests.support.serving.clients import LIMITS, application_of
from tests.support.serving.stepped_host import OUTAGE, Flaky, settle
from tests.support.signing_keys import alias_log, signing_registry

TOKEN = "a-token-for-tests-only"
PATH = "/api/models/digits/challenger"
FIRST, SECOND, REJECTED, UNDECIDED = (bundles.version_name(number) for number in (1, 2, 3, 4))
ASKED = {"version": SECOND, "mode": "canary", "share": 0.25, "reason": "it may be better"}
PROBLEM = "application/problem+json"


@pytest.fixture
def bucket() -> Flaky:
    bucket = Flaky()
    for number, approved in ((1, True), (2, True), (3, False), (4, None)):
        bucket_history.publish(bucket, number, approved=approved)
    bucket_history.promote(bucket, 1)
    return bucket


@pytest.fixture
def agent(worker):
    agent = worker()
    settle(agent)
    return agent


@pytest.fixture
def client(agent, bucket):
    administrators = Tokens(token=TOKEN, name="ada")
    return create_application(
        agent.router,
        limits=LIMITS,
        status=agent.status,
        administrators=administrators,
        registry=signing_registry(bucket),
    ).test_client()


@pytest.fixture
def send(client):
    def request(method: str, body, *, path: str = PATH, token: str = TOKEN):
        headers = {"Authorization": f"Bearer {token}"}
        return client.open(path, method=method, json=body, headers=headers)

    return request


def test_a_challenge_is_started_reported_and_stopped(send, bucket, agent, client):
    assert client.get("/api/models").json["models"][0]["challenger"] is None

    started = send("POST", ASKED | {"maximum_slowdown": 3, "minimum_requests": 50})
    settle(agent)

    assert started.status_code == 201
    record = started.json["record"]
    assert (record["by"], record["version"], record["action"]) == ("ada", SECOND, "started")
    assert record["terms"]["maximum_slowdown"] == 3.0
    challenger = client.get("/api/models/digits").json["challenger"]
    assert {name: challenger[name] for name in ASKED} == ASKED
    assert challenger["since"].startswith(record["at"][:19])
    figures = ("requests", "errors", "compared", "disagreements", "dropped")
    assert [challenger[name] for name in figures] == [0] * 5
    assert (challenger["by"], challenger["slowdown"], challenger["withdrawn"]) == (
        "ada",
        None,
        None,
    )
    labels = f'{{model="digits",version="{SECOND}",mode="canary"}}'
    assert f"overnight_challenger_active{labels} 1" in client.get("/metrics").text.splitlines()

    stopped = send("DELETE", {"reason": "seen enough"})
    settle(agent)

    assert (stopped.status_code, stopped.json["record"]["action"]) == (200, "stopped")
    assert client.get("/api/models/digits").json["challenger"] is None
    assert "overnight_challenger_active" not in client.get("/metrics").text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": None}, "version"),
        ({"version": "../../etc"}, "version"),
        ({"mode": "both"}, "mode"),
        ({"share": 0}, "share"),
        ({"share": "much"}, "share"),
        ({"share": True}, "share"),
        ({"maximum_slowdown": 0.5}, "maximum_slowdown"),
        ({"minimum_requests": 1.5}, "minimum_requests"),
        ({"reason": ""}, "reason"),
        ({"reason": 7}, "reason"),
    ],
    ids=str,
)
def test_an_invalid_request_names_the_field_and_starts_nothing(send, bucket, change, field):
    response = send("POST", ASKED | change)

    assert (response.status_code, response.content_type) == (400, PROBLEM)
    assert response.json["detail"].startswith(field)
    assert alias_log(bucket, "digits", CHALLENGER).current() is None


@pytest.mark.parametrize("missing", ["version", "mode", "reason"])
def test_fields_without_default_are_required(send, missing):
    body = {name: value for name, value in ASKED.items() if name != missing}

    response = send("POST", body)

    assert response.status_code == 400
    assert response.json["detail"].startswith(missing)


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"version": FIRST}, 409, "is the champion"),
        ({"version": REJECTED}, 409, "was rejected"),
        ({"version": UNDECIDED}, 409, "is not approved"),
        ({"version": bundles.version_name(9)}, 404, "has no version"),
    ],
)
def test_a_version_that_may_not_challenge_is_refused(send, change, status, message):
    response = send("POST", ASKED | change)

    assert (response.status_code, response.content_type) == (status, PROBLEM)
    assert message in response.json["detail"]


def test_a_second_challenger_is_a_conflict_that_names_the_first(send):
    send("POST", ASKED)

    response = send("POST", ASKED | {"share": 0.5})

    assert response.status_code == 409
    assert SECOND in response.json["detail"]


def test_there_is_nothing_to_stop_before_one_has_started(send):
    assert send("DELETE", {"reason": "to be sure"}).status_code == 404


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_starting_and_stopping_need_a_token(send, bucket, method):
    response = send(method, ASKED, token="somebody-else-entirely")

    assert response.status_code == 401
    assert alias_log(bucket, "digits", CHALLENGER).current() is None


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_without_administrators_it_is_forbidden(method):
    response = application_of().open(PATH, method=method, json=ASKED)

    assert response.status_code == 403


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_model_that_is_not_served_here_is_not_found(send, method):
    assert send(method, ASKED, path="/api/models/sales/challenger").status_code == 404


@pytest.mark.parametrize("error", [OUTAGE, StoreDenied("http://store", "AccessDenied")])
def test_an_error_of_the_store_is_reported(send, bucket, error):
    bucket.write_error = error

    response = send("POST", ASKED)

    assert response.status_code == 503
    assert "store" in response.json["detail"]


def test_only_the_expected_challenger_is_stopped(send, bucket):
    send("POST", ASKED)

    wrong = send("DELETE", {"reason": "seen enough", "expected": FIRST})
    odd = send("DELETE", {"reason": "seen enough", "expected": ["x"]})

    assert (wrong.status_code, odd.status_code) == (409, 400)
    assert SECOND in wrong.json["detail"]
    assert odd.json["detail"].startswith("expected")
    current = alias_log(bucket, "digits", CHALLENGER).current()
    assert current is not None
    assert current.target == SECOND
    assert send("DELETE", {"reason": "seen enough", "expected": SECOND}).status_code == 200
