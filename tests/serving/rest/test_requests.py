"""Behaviour common to all requests: errors, limits, content types and request ids."""

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
def test_every_get_path_is_answered(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", [INFER, PREDICT])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"instances": [NaN}', "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[" * 5_000, "JSON"),
    ],
    ids=["nothing", "half", "NaN and half", "not text", "too deep"],
)
def test_the_error_of_invalid_json_names_the_position(client, path, body, message):
    response = client.post(path, data=body, content_type="application/json")
    assert response.status_code == 400
    assert message in response.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", INFER, 405, "GET"),
        ("DELETE", PREDICT, 405, "DELETE"),
        ("GET", PREDICT, 405, "GET"),
        ("GET", "/v1/models/digits/labels/champion:predict", 405, "GET"),
        ("POST", "/v2/models/nothing/infer", 404, "digits"),
        ("POST", "/v1/models/nothing:predict", 404, "digits"),
        ("POST", "/v2/models/digits/versions/old/infer", 404, VERSION),
        ("POST", "/v1/models/digits/versions/7:predict", 404, VERSION),
        ("POST", "/v1/models/digits/labels/challenger:predict", 404, "champion"),
        ("GET", "/v2/models/..%2f..%2fetc", 404, ""),
        ("GET", "/v2/unknown", 404, "/v2/unknown"),
    ],
)
def test_errors_have_the_form_of_the_protocol(client, method, path, status, message):
    response = client.open(path, method=method, json={"instances": IMAGES.tolist()})
    assert response.status_code == status
    assert message in response.json["error"]


@pytest.mark.parametrize("path", [INFER, PREDICT])
@pytest.mark.parametrize("kind", ["text/html", "image/gif", "multipart/form-data; boundary=x"])
def test_an_unsupported_content_type_is_415(client, path, kind):
    response = client.post(path, data=b"{}", content_type=kind)
    assert response.status_code == 415
    assert "application/json" in response.json["error"]


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", None])
def test_json_with_the_content_type_of_curl_is_accepted(client, kind):
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


@pytest.mark.parametrize(
    ("sent", "given"), [("abc-1.2_3", "abc-1.2_3"), ("bad id\t!", None), ("x" * 65, None)]
)
def test_a_valid_request_id_is_returned(client, sent, given):
    actual = client.get("/v2/health/live", headers={"X-Request-Id": sent}).headers["X-Request-Id"]
    assert actual == given if given else len(actual) == 32


def test_before_a_version_is_loaded_clients_get_503_with_retry_after(empty):
    assert empty.get("/v2/health/live").status_code == 200
    assert empty.get("/v2/health/ready").status_code == 503
    for response in (empty.post(INFER, json=v2()), empty.get("/v2/models/digits/ready")):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "2"
        assert "no verified version yet" in response.json["error"]
    assert empty.get("/api/models").json["models"][0]["version"] is None


def test_errors_of_the_api_are_problem_json(client):
    response = client.get("/api/models/nothing")
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert (response.json["status"], response.json["title"]) == (404, "Not Found")
    assert "digits" in response.json["detail"]


def test_a_model_has_its_training_and_tensors(client):
    (model,) = client.get("/api/models").json["models"]
    assert (model["name"], model["version"], model["accuracy"]) == ("digits", VERSION, 0.995)
    assert model["trained_on_rows"] == 50_001
    assert model["labels"] == list("0123456789")


def test_the_page_has_a_strict_content_security_policy(client):
    response = client.get("/", headers={"Accept": "text/html"})
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b"://" not in response.data
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("low", "high"), [(1, None), (None, 18)])
def test_both_protocols_check_the_range_of_the_schema(low, high):
    spec = TensorSpec(name="image", datatype="UINT8", shape=(28, 28), minimum=low, maximum=high)
    client = application_of(Schema(inputs=(spec,), outputs=bundles.TENSORS.outputs))

    for path, body in ((INFER, v2()), (PREDICT, {"instances": IMAGES.tolist()})):
        response = client.post(path, json=body)
        assert response.status_code == 400
        assert ("at least 1" if low else "at most 18") in response.json["error"]
