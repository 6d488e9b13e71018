"""What clients of the two protocols send and get, without a socket."""

import json

import numpy as np
import pytest
from flask.testing import FlaskClient

from serving.application import create_application
from serving.attendant import open_bundle
from serving.board import Board
from serving.limits import Limits
from serving.slots import Loaded, Slot, Slots
from serving.story import Story
from store.schema import Schema, TensorSpec
from tests.serving import bundles

INFER, PREDICT = "/v2/models/digits/infer", "/v1/models/digits:predict"
IMAGES = np.random.default_rng(9).integers(0, 20, (3, 28, 28), dtype=np.uint8)
EXPECTED = bundles.probabilities(1, IMAGES)
VERSION = bundles.version_name(1)
LIMITS = Limits(body_bytes=100_000, batch_rows=8)


def application_of(tensors: Schema = bundles.TENSORS) -> FlaskClient:
    files = bundles.files(1)
    slots = Slots()
    slot = slots.add(Slot(bundles.MODEL, Board.alone()))
    manifest = bundles.manifest(1, files, tensors=tensors)
    slot.put(Loaded(1, open_bundle(manifest, files, threads=1), None))
    slot.board.flip(1)
    return create_application(slots, limits=LIMITS, story=Story()).test_client()


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return application_of()


@pytest.fixture(scope="module")
def empty() -> FlaskClient:
    slots = Slots()
    slots.add(Slot(bundles.MODEL, Board.alone()))
    return create_application(slots, limits=LIMITS, story=Story()).test_client()


def v2(images=IMAGES, **changes) -> dict:
    flat = images.ravel().tolist()
    tensor = {"name": "image", "shape": list(images.shape), "datatype": "UINT8", "data": flat}
    return {"inputs": [tensor | changes]}


def changed(place: int, value: object, images=IMAGES[:1]) -> list:
    flat = images.ravel().tolist()
    flat[place] = value
    return flat


# Open Inference Protocol v2


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_v2_infers(client, nested):
    body = v2(**({"data": IMAGES.tolist()} if nested else {})) | {"id": "42"}

    response = client.post(INFER, json=body)

    assert response.status_code == 200
    assert response.headers["X-Model-Version"] == VERSION
    answer = response.json
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (
        "digits",
        VERSION,
        "42",
    )
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == (
        "probabilities",
        "FP32",
        [3, 10],
    )
    assert np.allclose(np.reshape(output["data"], (3, 10)), EXPECTED, atol=1e-6)


def test_v2_answers_the_outputs_that_are_named(client):
    asked = v2() | {"outputs": [{"name": "seen"}, {"name": "probabilities"}]}

    seen, probabilities = client.post(INFER, json=asked).json["outputs"]

    assert (seen["name"], seen["datatype"], seen["shape"]) == ("seen", "UINT8", [3, 28, 28])
    assert seen["data"] == (IMAGES // 2).ravel().tolist()
    assert probabilities["name"] == "probabilities"


def test_whole_numbers_may_be_written_as_floats(client):
    data = IMAGES.astype(float).ravel().tolist()
    response = client.post(INFER, json=v2(data=data))
    assert np.allclose(
        np.reshape(response.json["outputs"][0]["data"], (3, 10)), EXPECTED, atol=1e-6
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ["inputs", "'image'"]),
        ({"inputs": "image"}, ["inputs", "'image'"]),
        ({"inputs": []}, ["inputs", "'image'"]),
        ({"inputs": [5]}, ["inputs", "'image'"]),
        (v2(name="picture"), ["inputs", "'image'", "'picture'"]),
        (v2(name=None), ["inputs", "'image'"]),
        (v2(datatype="FP32"), ["inputs[0].datatype", "UINT8", "FP32"]),
        (v2(datatype=None), ["inputs[0].datatype", "UINT8"]),
        (v2(shape=[3, 28, 27]), ["inputs[0].shape", "[-1, 28, 28]", "[3, 28, 27]"]),
        (v2(shape=[3, 784]), ["inputs[0].shape", "[-1, 28, 28]"]),
        (v2(shape=[0, 28, 28], data=[]), ["inputs[0].shape", "at least one row"]),
        (v2(shape=[-1, 28, 28]), ["inputs[0].shape", "at least one row"]),
        (v2(shape=[True, 28, 28]), ["inputs[0].shape"]),
        (v2(shape=[3.0, 28, 28]), ["inputs[0].shape"]),
        (v2(shape="3,28,28"), ["inputs[0].shape"]),
        (v2(shape=[]), ["inputs[0].shape"]),
        (v2(shape=None), ["inputs[0].shape"]),
        (v2(shape=[2, 28, 28]), ["inputs[0].data", "1568 numbers", "2352"]),
        (v2(data=None), ["inputs[0].data", "null"]),
        (v2(data="AAAA"), ["inputs[0].data", "the text"]),
        (v2(data={}), ["inputs[0].data", "an object"]),
        (v2(data=IMAGES[:2].tolist()), ["inputs[0].data", "3 rows"]),
        (v2(data=IMAGES[:, :27].tolist()), ["inputs[0].data[0]", "a list of 28"]),
        (v2(data=[[1, 2], 3]), ["inputs[0].data[0]", "a list of 28"]),
        (v2(IMAGES[:1], data=changed(5, 256)), ["inputs[0].data[5]", "0 to 255", "256"]),
        (v2(IMAGES[:1], data=changed(5, -1)), ["inputs[0].data[5]", "0 to 255", "-1"]),
        (v2(IMAGES[:1], data=changed(5, 0.5)), ["inputs[0].data[5]", "whole", "0.5"]),
        (v2(IMAGES[:1], data=changed(5, "7")), ["inputs[0].data[5]", "UINT8", "'7'"]),
        (v2(IMAGES[:1], data=changed(5, None)), ["inputs[0].data[5]", "null"]),
        (v2(IMAGES[:1], data=changed(5, [7])), ["inputs[0].data[5]", "a list of 1"]),
        (v2(IMAGES[:1], data=changed(5, 10**30)), ["inputs[0].data"]),
        (v2() | {"outputs": "seen"}, ["outputs", "'seen'"]),
        (v2() | {"outputs": [{"name": "logits"}]}, ["outputs[0].name", "'seen'", "logits"]),
        (v2() | {"outputs": [{}]}, ["outputs[0].name"]),
        (v2() | {"outputs": [{"name": ["seen"]}]}, ["outputs[0].name"]),
        ([], ["the body", "a JSON object"]),
        ("text", ["the body", "a JSON object"]),
    ],
)
def test_v2_names_what_is_wrong(client, body, words):
    response = client.post(INFER, json=body)

    assert response.status_code == 400
    assert response.json.keys() == {"error"}
    for word in words:
        assert word in response.json["error"]


def test_v2_tells_the_tensors(client):
    answer = client.get("/v2/models/digits").json
    assert answer["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert answer["versions"] == [VERSION]


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


# TensorFlow Serving


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        (PREDICT, {"instances": IMAGES.tolist()}, "predictions"),
        (PREDICT, {"instances": [{"image": i} for i in IMAGES.tolist()]}, "predictions"),
        (PREDICT, {"inputs": IMAGES.tolist()}, "outputs"),
        (PREDICT, {"inputs": {"image": IMAGES.tolist()}}, "outputs"),
        (
            PREDICT,
            {"signature_name": "serving_default", "instances": IMAGES.tolist()},
            "predictions",
        ),
        (
            f"/v1/models/digits/versions/{VERSION}:predict",
            {"instances": IMAGES.tolist()},
            "predictions",
        ),
        (
            "/v1/models/digits/labels/champion:predict",
            {"instances": IMAGES.tolist()},
            "predictions",
        ),
    ],
    ids=["rows", "named rows", "column", "named column", "signature", "version", "label"],
)
def test_v1_predicts(client, path, body, key):
    response = client.post(path, json=body)

    assert response.status_code == 200
    assert response.headers["X-Model-Version"] == VERSION
    assert response.json.keys() == {key}
    assert np.allclose(response.json[key], EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ["instances", "inputs"]),
        ({"instances": [], "inputs": []}, ["instances", "inputs", "both"]),
        ({"instances": []}, ["instances", "at least one"]),
        ({"instances": {}}, ["instances"]),
        ({"instances": [1, 2]}, ["instances[0]"]),
        ({"instances": IMAGES[0, :5].tolist()}, ["instances[0][0]", "a list of 28"]),
        ({"instances": [[28] * 28] * 5}, ["instances[0][0]", "a list of 28"]),
        ({"instances": [{"picture": 1}]}, ["instances[0]", "image", "picture"]),
        ({"instances": [{"image": IMAGES[0].tolist()}, 5]}, ["instances[1]", "no object"]),
        ({"instances": [[[300] * 28] * 28]}, ["instances[0][0][0]", "0 to 255", "300"]),
        ({"instances": [[[0.5] * 28] * 28]}, ["instances[0][0][0]", "whole"]),
        ({"instances": [[["a"] * 28] * 28]}, ["instances[0]", "'a'"]),
        ({"inputs": {"picture": []}}, ["inputs", "picture"]),
        ({"inputs": []}, ["inputs"]),
        ({"inputs": 5}, ["inputs"]),
        ({"instances": IMAGES.tolist(), "signature_name": "other"}, ["signature_name", "other"]),
        ({"instances": IMAGES.tolist(), "signature_name": []}, ["signature_name"]),
    ],
)
def test_v1_names_what_is_wrong(client, body, words):
    response = client.post(PREDICT, json=body)

    assert response.status_code == 400
    assert response.json.keys() == {"error"}
    for word in words:
        assert word in response.json["error"]


# Both


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
@pytest.mark.parametrize("kind", ["text/html", "image/png", "multipart/form-data; boundary=x"])
def test_a_body_that_does_not_claim_to_be_json_is_415(client, path, kind):
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
