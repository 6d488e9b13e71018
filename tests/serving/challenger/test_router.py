"""Routing between champion and challenger in one worker, and failures of the challenger."""

import io
from collections import Counter

import numpy as np
import orjson
import pytest

from overnight.serving.challenger.router import is_chosen
from overnight.serving.lifecycle.model_slots import LoadedVersion
from overnight.serving.rest.answering import client_of
from overnight.store.registry.challenge_terms import Terms
from tests.support.serving import bundles
from tests.support.serving.challenges import (
    ALWAYS_ZERO,
    CANARY,
    CHALLENGERS_THAT_FAIL,
    ONE,
    PREDICT,
    SHADOW,
    Broken,
    ChallengeSetup,
    ask,
    one,
    plain,
    replace,
    started,
)

CHAMPION, CHALLENGER = bundles.version_name(1), bundles.version_name(2)
INFER = "/v2/models/digits/infer"
FOURS = bundles.IMAGES  # the champion's answer to noise
KEYS = [f"client-{number}" for number in range(4_000)]


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_a_canary_gets_its_share_of_the_clients(share):
    chosen = sum(is_chosen("a-challenge", key, share) for key in KEYS)

    spread = (len(KEYS) * share * (1 - share)) ** 0.5
    assert abs(chosen - len(KEYS) * share) < 4 * spread


def test_the_clients_of_a_canary_grow_with_its_share_and_differ_between_challenges():
    tenth, half, other = (
        {key for key in KEYS if is_chosen(challenge, key, share)}
        for challenge, share in (("one", 0.1), ("one", 0.5), ("another", 0.1))
    )

    assert tenth < half
    # Of two independent tenths a hundredth is in both.
    assert len(tenth & other) < 3 * len(KEYS) / 100


def test_each_client_always_gets_the_same_version():
    setup = ChallengeSetup(Terms(mode="canary", share=0.5))
    client = setup.client()

    versions_by_key = {
        key: {ask(client, key=key).headers["X-Model-Version"] for _ in "abc"} for key in KEYS[:60]
    }

    assert all(len(versions) == 1 for versions in versions_by_key.values())
    for key, (version,) in versions_by_key.items():
        assert (version == CHALLENGER) == is_chosen("a-challenge", key, 0.5)
    assert set(Counter(version for (version,) in versions_by_key.values())) == {
        CHAMPION,
        CHALLENGER,
    }


@pytest.mark.parametrize(
    ("environ", "client"),
    [
        ({"HTTP_X_CLIENT_KEY": "k", "overnight.client": "shop", "REMOTE_ADDR": "::1"}, "k"),
        ({"overnight.client": "shop", "REMOTE_ADDR": "::1"}, "shop"),
        ({"HTTP_X_CLIENT_KEY": "", "REMOTE_ADDR": "::1"}, "::1"),
        ({}, ""),
    ],
)
def test_a_client_is_identified_by_its_key_else_its_token_else_its_address(environ, client):
    assert client_of(environ) == client


@pytest.mark.parametrize("body_of", ["v1", "v2"])
def test_an_answer_of_a_canary_names_its_version(body_of):
    setup = ChallengeSetup(CANARY)
    client = setup.client()
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}

    response = ask(client) if body_of == "v1" else ask(client, {"inputs": [tensor]}, path=INFER)

    assert response.headers["X-Model-Version"] == CHALLENGER
    probabilities = response.json.get("predictions") or [response.json["outputs"][0]["data"]]
    assert np.allclose(
        probabilities, bundles.probabilities(2, np.zeros((1, 28, 28), np.uint8)), atol=1e-5
    )
    assert response.json.get("model_version", CHALLENGER) == CHALLENGER


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (f"/v1/models/digits/versions/{CHAMPION}:predict", CHAMPION),
        ("/v1/models/digits/labels/champion:predict", CHAMPION),
        ("/v1/models/digits/labels/challenger:predict", CHALLENGER),
        (f"/v1/models/digits/versions/{CHALLENGER}:predict", CHALLENGER),
    ],
)
@pytest.mark.parametrize("terms", [CANARY, SHADOW])
def test_requests_for_a_named_version_get_it_and_are_not_counted(terms, path, version):
    setup = ChallengeSetup(terms)

    response = ask(setup.client(), path=path)

    assert (response.status_code, response.headers["X-Model-Version"]) == (200, version)
    assert setup.challenger.stats() is None


@pytest.mark.parametrize("rest", ["", "/metadata"])
def test_the_challenger_has_metadata_under_its_label(rest):
    response = ChallengeSetup(SHADOW).client().get(f"/v1/models/digits/labels/challenger{rest}")

    assert (response.status_code, response.headers["X-Model-Version"]) == (200, CHALLENGER)


@pytest.mark.parametrize("label", ["challenger", "unknown"])
def test_a_label_without_a_version_is_not_found(label):
    setup = ChallengeSetup(SHADOW)
    setup.challenger.slot.shared.clear()

    response = ask(setup.client(), path=f"/v1/models/digits/labels/{label}:predict")

    assert response.status_code == 404
    assert "champion" in response.json["error"]


@pytest.mark.parametrize("what", CHALLENGERS_THAT_FAIL)
def test_no_request_fails_because_of_a_canary(what):
    setup = ChallengeSetup(CANARY, **CHALLENGERS_THAT_FAIL[what])
    if what == "raises":
        replace(setup, Broken)
    client = setup.client()

    for number in range(10):
        response = ask(client, one(), key=f"{number}")
        assert (response.status_code, response.headers["X-Model-Version"]) == (200, CHAMPION)
        assert np.allclose(
            response.json["predictions"], bundles.probabilities(1, FOURS[:1]), atol=1e-5
        )

    assert (setup.stats().requests, setup.stats().errors) == (10, 10)


def test_a_request_that_the_champion_refuses_too_is_no_failure_of_a_canary():
    setup = ChallengeSetup(CANARY)
    client = setup.client()

    for body in ({}, {"instances": [[300]]}, {"instances": "none"}):
        assert ask(client, body).status_code == 400

    assert setup.stats().requests == 0


def test_a_challenger_that_is_champion_has_no_challenge():
    setup = ChallengeSetup(CANARY, number=1)

    assert ask(setup.client()).headers["X-Model-Version"] == CHAMPION
    assert setup.challenger.stats() is None


def test_an_ended_challenge_is_neither_routed_to_nor_counted():
    setup = ChallengeSetup(CANARY)
    client = setup.client()
    assert ask(client).headers["X-Model-Version"] == CHALLENGER

    setup.challenger.slot.shared.clear()

    assert ask(client).headers["X-Model-Version"] == CHAMPION
    assert setup.stats().requests == 1


def test_each_challenge_has_counters_of_its_own():
    setup = ChallengeSetup(CANARY)
    client = setup.client()
    ask(client)

    slot = setup.challenger.slot
    slot.put(LoadedVersion(2, slot.current().predictor, started(2, SHADOW, identity="the next")))
    slot.shared.activate(2)
    ask(client)
    setup.settle()

    assert (setup.stats().record, setup.stats().mode, setup.stats().requests) == (
        "the next",
        "shadow",
        1,
    )


def test_counters_are_in_the_metrics():
    setup = ChallengeSetup(CANARY, number=ALWAYS_ZERO, bundle=plain(ALWAYS_ZERO))
    client = setup.client()
    ask(client, one())
    setup.settle()

    lines = client.get("/metrics").text.splitlines()

    version = bundles.version_name(ALWAYS_ZERO)
    labels = f'{{model="digits",version="{version}",mode="canary",worker="alone"}}'
    for name in ("requests", "compared", "disagreements"):
        assert f"overnight_challenger_{name}_total{labels} 1" in lines
    for name in ("errors", "dropped"):
        assert f"overnight_challenger_{name}_total{labels} 0" in lines


def test_the_fast_path_routes_by_client():
    """Requests on the fast path never reach Flask."""
    setup = ChallengeSetup(Terms(mode="canary", share=0.5))
    application = setup.client().application
    body = orjson.dumps(ONE)
    seen = {}
    for key in KEYS[:30]:
        environ = {
            "PATH_INFO": PREDICT,
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": key,
            "wsgi.input": io.BytesIO(body),
        }
        application.wsgi_app(
            environ,
            lambda _, headers, key=key: seen.update({key: dict(headers)["X-Model-Version"]}),
        )

    assert {key: version == CHALLENGER for key, version in seen.items()} == {
        key: is_chosen("a-challenge", key, 0.5) for key in KEYS[:30]
    }
