"""The Open Inference Protocol v2 over HTTP: what every server of it answers, and refuses how.

Rules: the objects of its REST specification (`$metadata_server_response`, `$inference_request`,
`$inference_error_response` and their fields), which the suites of KServe, MLServer and Triton hold
each in its own way. The id of a case is the rule.
"""

import numpy as np
import pytest

from tests.support.serving.clients import EXPECTED, IMAGES, INFER, VERSION, changed, v2

ONE = IMAGES[:1]
METADATA = "/v2/models/digits"


def one(**changes: object) -> dict:
    """A request with one row."""
    return v2(ONE, **changes)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v2", {"name": str, "version": str, "extensions": list}),
        ("/v2/", {"name": str, "version": str, "extensions": list}),
        ("/v2/health/live", {"live": bool}),
        ("/v2/health/ready", {"ready": bool}),
        (f"{METADATA}/ready", {"name": str, "ready": bool}),
        (f"{METADATA}/versions/{VERSION}/ready", {"name": str, "ready": bool}),
        (METADATA, {"name": str, "platform": str, "versions": list, "inputs": list}),
        (f"{METADATA}/versions/{VERSION}", {"name": str, "platform": str, "outputs": list}),
    ],
)
def test_every_object_of_the_protocol_has_its_fields(client, path, fields):
    response = client.get(path)

    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert {name: type(response.json[name]) for name in fields} == fields


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", f"{METADATA}/ready"])
def test_a_probe_may_ask_for_the_head_alone(client, path):
    response = client.head(path)

    assert (response.status_code, response.data) == (200, b"")


def test_metadata_of_tensors_have_name_datatype_and_shape_with_minus_one_where_it_varies(client):
    body = client.get(METADATA).json

    assert body["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert body["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        {"name": "seen", "datatype": "UINT8", "shape": [-1, 28, 28]},
    ]


def test_the_versions_of_the_metadata_may_be_requested(two_versions):
    for version in two_versions.get(METADATA).json["versions"]:
        answer = two_versions.post(f"{METADATA}/versions/{version}/infer", json=v2()).json
        assert answer["model_version"] == version


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nobody", 404),
        ("/v2/models/nobody/ready", 404),
        ("/v2/models/digits/versions/9", 404),
        ("/v2/models/digits/versions/9/ready", 404),
        ("/v2/models/digits/versions", 404),
        ("/v2/nothing", 404),
        (INFER, 405),
    ],
)
def test_every_failure_is_an_object_with_an_error(client, path, status):
    response = client.get(path)

    assert (response.status_code, response.mimetype) == (status, "application/json")
    assert list(response.json) == ["error"]
    assert isinstance(response.json["error"], str)


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", METADATA, f"{METADATA}/ready"])
def test_what_is_read_is_not_posted(client, path):
    response = client.post(path, json={})

    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", "empty document"),
        (b"inputs = [1]", "unexpected character"),
        (b'{"inputs": [}', "the body: expected JSON"),
        (b'{"inputs": []} {}', "content after document"),
        (b'{"inputs": ["\xff"]}', "not valid UTF-8"),
        (b"[]", "expected a JSON object, found a list of 0"),
        (b"null", "expected a JSON object, found null"),
        (b"true", "expected a JSON object, found a boolean"),
        (b'"inputs"', "expected a JSON object, found the text 'inputs'"),
        (b"1", "expected a JSON object, found 1"),
        (b'{"inputs": ' + b"[" * 100_000, "expected JSON, found"),
    ],
)
@pytest.mark.parametrize("path", [INFER, "/v1/models/digits:predict"])
def test_a_body_is_one_json_object(client, path, body, found):
    response = client.post(path, data=body, content_type="application/json")

    assert response.status_code == 400
    assert response.json["error"].startswith("the body: expected ")
    assert found in response.json["error"]


TENSOR = one()["inputs"][0]


def without(field: str) -> dict:
    return {"inputs": [{name: value for name, value in TENSOR.items() if name != field}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({}, "inputs: expected a list", id="inputs are required"),
        pytest.param({"inputs": None}, "found null", id="inputs are not null"),
        pytest.param({"inputs": TENSOR}, "found an object", id="inputs are a list"),
        pytest.param({"inputs": []}, "no 'image'", id="every input is required"),
        pytest.param({"inputs": [1]}, "found 1 in it", id="an input is an object"),
        pytest.param({"inputs": [TENSOR, None]}, "found null in it", id="each is an object"),
        pytest.param({"inputs": [TENSOR] * 2}, "more than once", id="an input comes once"),
        pytest.param(one(name="photo"), "'photo', which the model", id="names are those declared"),
        pytest.param(one(name=7), "7, which the model", id="a name is a text"),
        pytest.param(without("name"), "null, which the model", id="a name is required"),
        pytest.param(without("shape"), "[0].shape: expected", id="a shape is required"),
        pytest.param(without("datatype"), "[0].datatype: expected", id="a datatype is required"),
        pytest.param(without("data"), "[0].data: expected", id="data are required"),
        pytest.param(one(datatype="FP32"), "found the text 'FP32'", id="datatypes are declared"),
        pytest.param(one(datatype="uint8"), "found the text 'uint8'", id="datatypes are capitals"),
        pytest.param(one(datatype=8), "[0].datatype: expected", id="a datatype is a text"),
        pytest.param(one(shape=[784]), "found [784]", id="a shape has all its axes"),
        pytest.param(one(shape=[1, 28, 27]), "found [1, 28, 27]", id="axes are as declared"),
        pytest.param(one(shape=[1, 784]), "found [1, 784]", id="axes are not joined"),
        pytest.param(one(shape=[-1, 28, 28]), "found [-1, 28, 28]", id="an axis is unsigned"),
        pytest.param(one(shape=[2, -5]), "found [2, -5]", id="no axis is negative"),
        pytest.param(one(shape=[0, 28, 28], data=[]), "at least one row", id="a batch has a row"),
        pytest.param(one(shape=[1.0, 28, 28]), "[0].shape: expected", id="an axis is whole"),
        pytest.param(one(shape=["1", 28, 28]), "[0].shape: expected", id="an axis is a number"),
        pytest.param(one(shape=[True, 28, 28]), "[0].shape: expected", id="an axis is no flag"),
        pytest.param(one(shape=28), "[0].shape: expected", id="a shape is a list"),
        pytest.param(one(shape=[16, 2**60 + 2]), "[0].shape: expected", id="no product overflows"),
        pytest.param(one(shape=[10**30, 28, 28]), "[0].shape: expected", id="an axis has 64 bits"),
        pytest.param(one(shape=[2, 28, 28]), "1568 numbers", id="a shape has as many data"),
        pytest.param(one(data=[1]), "784 numbers, as `shape`", id="data are not fewer"),
        pytest.param(one(data=[1] * 785), "784 numbers, as `shape`", id="data are not more"),
        pytest.param(one(data="abc"), "found the text 'abc'", id="data are a list"),
        pytest.param(one(data={}), "found an object", id="data are no object"),
        pytest.param(one(data=None), "found null", id="data are not null"),
        pytest.param(one(data=[[[1] * 28] * 28, 1]), "[0].data", id="data are nested evenly"),
        pytest.param(
            one(data=[ONE.tolist()]), "[0].data[0]: expected", id="data nest as the shape"
        ),
        pytest.param(one(data=changed(0, 256)), "[0].data[0]: expected whole", id="UINT8 ends"),
        pytest.param(one(data=changed(0, -1)), "[0].data[0]: expected whole", id="UINT8 begins"),
        pytest.param(one(data=changed(3, 1.5)), "[0].data[3]: expected whole", id="UINT8 is whole"),
        pytest.param(one(data=changed(3, "1")), "found the text '1'", id="UINT8 is no text"),
        pytest.param(one(data=changed(3, None)), "found null", id="UINT8 is not null"),
        pytest.param(one(data=changed(3, {})), "[0].data[3]", id="UINT8 is no object"),
        pytest.param(one() | {"outputs": {}}, "found an object", id="outputs are a list"),
        pytest.param(one() | {"outputs": [{}]}, "outputs[0].name", id="an output has a name"),
        pytest.param(one() | {"outputs": [1]}, "outputs[0].name", id="an output is an object"),
        pytest.param(
            one() | {"outputs": [{"name": "mood"}]},
            "expected one of ['probabilities', 'seen'], found the text 'mood'",
            id="outputs are those declared",
        ),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_by_its_field(client, body, message):
    response = client.post(INFER, json=body)

    assert (response.status_code, list(response.json)) == (400, ["error"])
    assert message in response.json["error"]
    assert response.json["error"].startswith(("inputs", "outputs"))


def test_a_batch_beyond_the_limit_is_too_large(client):
    response = client.post(INFER, json=one(shape=[2**62 + 2, 28, 28]))

    assert response.status_code == 413
    assert "at most 8 rows" in response.json["error"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(v2(data=IMAGES.tolist()), id="data may be nested"),
        pytest.param(v2(data=IMAGES.astype(float).ravel().tolist()), id="whole floats are whole"),
        pytest.param(v2() | {"id": None}, id="an id may be null"),
        pytest.param(v2() | {"parameters": {}}, id="parameters may be empty"),
        pytest.param(v2() | {"parameters": {"a": 1, "b": "x", "c": 1.5, "d": True}}, id="of any"),
        pytest.param(v2() | {"parameters": {"priority": 1, "timeout": 10**6}}, id="of scheduling"),
        pytest.param(v2() | {"outputs": None}, id="outputs may be null"),
        pytest.param(v2() | {"outputs": [{"name": "probabilities"}]}, id="outputs may be named"),
        pytest.param(v2() | {"future": {"field": 1}}, id="unknown fields are left"),
    ],
)
def test_a_request_within_the_rules_is_answered(client, body):
    answer = client.post(INFER, json=body).json

    assert (answer["model_name"], answer["model_version"]) == ("digits", VERSION)
    (output,) = (each for each in answer["outputs"] if each["name"] == "probabilities")
    assert (output["datatype"], output["shape"]) == ("FP32", [3, 10])
    # Flat, in row-major order.
    assert np.allclose(output["data"], EXPECTED.ravel(), atol=1e-6)


@pytest.mark.parametrize("sent", ["mine", None])
def test_an_id_is_returned_only_where_one_was_sent(client, sent):
    answer = client.post(INFER, json=one() | ({"id": sent} if sent else {})).json

    assert answer.get("id") == sent
