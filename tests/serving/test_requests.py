"""What holds for requests of every kind."""

import json

import numpy as np
import pytest
from flask.testing import FlaskClient

from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.lifecycle.model_slots import ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles
from tests.support.serving.clients import (
    IMAGES,
    INFER,
    LIMITS,
    PREDICT,
    VERSION,
    application_of,
    v2,
)


@pytest.fixture(scope="module")
def empty() -> FlaskClient:
    slots = ModelSlots()
    slots.add(ModelSlot(bundles.MODEL, SharedGeneration.in_process()))
    return create_application(Router(slots), limits=LIMITS, status=StandaloneStatus()).test_client()


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/digits",
        "/v2/models/digits/ready",
        f"/v2/models/digits/versions/{VERSION}",
        f"/v2/models/digits/versions/{VERSION}/ready",
        "/v1/models/digits",
        "/v1/models/digits/metadata",
        f"/v1/models/digits/versions/{VERSION}",
        f"/v1/models/digits/versions/{VERSION}/metadata",
        "/v1/models/digits/labels/champion",
        "/v1/models/digits/labels/champion/metadata",
        "/api/models",
        "/api/models/digits",
        "/",
    ],
)
def test_what_can_be_asked_is_answered(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", [INFER, PREDICT])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"instances": [NaN]}', "NaN"),
        (b'{"inputs": [Infinity]}', "NaN or Infinity"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[" * 5_000, "JSON"),
    ],
    ids=["nothing", "half", "NaN", "Infinity", "not text", "too deep"],
)
def test_broken_json_is_told_where_it_breaks(client, path, body, words):
    response = client.post(path, data=body, content_type="application/json")
    assert response.status_code == 400
    assert words in response.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", INFER, 405, "GET"),
        ("DELETE", PREDICT, 405, "DELETE"),
        ("POST", "/v2/models/nothing/infer", 404, "digits"),
        ("POST", "/v1/models/nothing:predict", 404, "digits"),
        ("POST", "/v2/models/digits/versions/old/infer", 404, VERSION),
        ("POST", "/v1/models/digits/versions/7:predict", 404, VERSION),
        ("POST", "/v1/models/digits/labels/challenger:predict", 404, "champion"),
        ("GET", "/v2/models/..%2f..%2fetc", 404, ""),
        ("GET", "/v2/unknown", 404, "/v2/unknown"),
    ],
)
def test_what_cannot_be_asked_says_so_in_the_form_of_the_protocol(
    client, method, path, status, words
):
    response = client.open(path, method=method, json={"instances": IMAGES.tolist()})
    assert response.status_code == status
    assert words in response.json["error"]


@pytest.mark.parametrize("path", [INFER, PREDICT])
@pytest.mark.parametrize("kind", ["text/html", "image/jpeg", "multipart/form-data; boundary=x"])
def test_a_body_of_a_kind_that_is_not_read_is_415(client, path, kind):
    response = client.post(path, data=b"{}", content_type=kind)
    assert response.status_code == 415
    assert "application/json" in response.json["error"]


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", None])
def test_json_as_curl_sends_it_is_read(client, kind):
    body = json.dumps({"instances": IMAGES.tolist()})
    assert client.post(PREDICT, data=body, content_type=kind).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (INFER, v2(np.zeros((9, 28, 28), np.uint8))),
        (PREDICT, {"instances": np.zeros((9, 28, 28), int).tolist()}),
        (PREDICT, {"inputs": np.zeros((9, 28, 28), int).tolist()}),
    ],
)
def test_a_batch_over_the_limit_is_413_and_names_the_limit(client, path, body):
    response = client.post(path, json=body)
    assert response.status_code == 413
    assert "at most 8 rows" in response.json["error"]


@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_a_body_over_the_limit_is_413_and_names_the_limit(client, path):
    response = client.post(path, data=b" " * 100_001, content_type="application/json")
    assert response.status_code == 413
    assert "at most 100000 bytes" in response.json["error"]


@pytest.mark.parametrize(
    ("asked", "given"), [("abc-1.2_3", "abc-1.2_3"), ("bad id\t!", None), ("x" * 65, None)]
)
def test_a_request_id_is_given_back_when_it_is_decent(client, asked, given):
    found = client.get("/v2/health/live", headers={"X-Request-Id": asked}).headers["X-Request-Id"]
    assert found == given if given else len(found) == 32


def test_before_a_version_is_loaded_nothing_is_ready_and_clients_are_told_to_wait(empty):
    assert empty.get("/v2/health/live").status_code == 200
    assert empty.get("/v2/health/ready").status_code == 503
    for response in (empty.post(INFER, json=v2()), empty.get("/v2/models/digits/ready")):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "2"
        assert "no verified version yet" in response.json["error"]
    assert empty.get("/api/models").json["models"][0]["version"] is None


def test_our_own_endpoints_explain_themselves_as_problems(client):
    response = client.get("/api/models/nothing")
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert (response.json["status"], response.json["title"]) == (404, "Not Found")
    assert "digits" in response.json["detail"]


def test_a_model_is_told_for_people(client):
    (told,) = client.get("/api/models").json["models"]
    assert (told["name"], told["version"], told["accuracy"]) == ("digits", VERSION, 0.995)
    assert told["trained_on_rows"] == 50_001
    assert told["labels"] == list("0123456789")


def test_the_page_allows_nothing_from_elsewhere(client):
    response = client.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b"://" not in response.data
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("low", "high"), [(1, None), (None, 18)])
def test_a_range_in_the_schema_is_kept_by_both_protocols(low, high):
    spec = TensorSpec(name="image", datatype="UINT8", shape=(28, 28), minimum=low, maximum=high)
    client = application_of(Schema(inputs=(spec,), outputs=bundles.TENSORS.outputs))

    for path, body in ((INFER, v2()), (PREDICT, {"instances": IMAGES.tolist()})):
        response = client.post(path, json=body)
        assert response.status_code == 400
        assert ("at least 1" if low else "at most 18") in response.json["error"]
