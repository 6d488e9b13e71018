"""The binary tensor extension of v2, in requests and responses."""

import json

import numpy as np
import pytest

from tests.support.serving import bundles
from tests.support.serving.clients import EXPECTED, IMAGES, INFER

LENGTH = "Inference-Header-Content-Length"


def request(images=IMAGES, *, size=None, outputs=None, parameters=None) -> dict:
    tensor = {
        "name": "image",
        "shape": list(images.shape),
        "datatype": "UINT8",
        "parameters": {"binary_data_size": images.nbytes if size is None else size},
    }
    body = {"inputs": [tensor]}
    body |= {"outputs": outputs} if outputs is not None else {}
    return body | ({"parameters": parameters} if parameters is not None else {})


def post(client, sent: dict, raw: bytes = IMAGES.tobytes(), *, length: str | None = None):
    text = json.dumps(sent).encode()
    headers = {LENGTH: str(len(text)) if length is None else length}
    return client.post(
        INFER, data=text + raw, headers=headers, content_type="application/octet-stream"
    )


def read(response) -> tuple[dict, bytes]:
    end = int(response.headers[LENGTH])
    return json.loads(response.data[:end]), response.data[end:]


def test_raw_inputs_give_json_outputs(client):
    response = post(client, request())

    assert response.status_code == 200
    assert response.headers["X-Model-Version"] == bundles.version_name(1)
    assert LENGTH not in response.headers
    actual = np.reshape(response.json["outputs"][0]["data"], (3, 10))
    assert np.allclose(actual, EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    "sent",
    [
        {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]},
        {"parameters": {"binary_data_output": True}},
    ],
    ids=["of one output", "of all"],
)
def test_outputs_are_raw_when_requested(client, sent):
    answer, raw = read(post(client, request(**sent)))

    output = answer["outputs"][0]
    assert all("data" not in output for output in answer["outputs"])
    sizes = [output["parameters"]["binary_data_size"] for output in answer["outputs"]]
    assert sum(sizes) == len(raw)
    actual = np.frombuffer(raw[: sizes[0]], "<f4").reshape(output["shape"])
    assert np.allclose(actual, EXPECTED, atol=1e-6)


def test_raw_and_json_outputs_may_be_mixed(client):
    outputs = [{"name": "probabilities"}, {"name": "seen", "parameters": {"binary_data": True}}]

    answer, raw = read(post(client, request(outputs=outputs)))

    probabilities, seen = answer["outputs"]
    assert np.allclose(np.reshape(probabilities["data"], (3, 10)), EXPECTED, atol=1e-6)
    assert seen["parameters"] == {"binary_data_size": IMAGES.nbytes}
    assert raw == (IMAGES // 2).tobytes()


def test_a_plain_json_request_may_request_raw_outputs(client):
    tensor = {"name": "image", "shape": [3, 28, 28], "datatype": "UINT8", "data": IMAGES.tolist()}
    sent = {"inputs": [tensor], "parameters": {"binary_data_output": True}}

    _, raw = read(client.post(INFER, json=sent))

    probabilities = np.frombuffer(raw[: EXPECTED.nbytes], "<f4").reshape(3, 10)
    assert np.allclose(probabilities, EXPECTED, atol=1e-6)
    assert raw[EXPECTED.nbytes :] == (IMAGES // 2).tobytes()


@pytest.mark.parametrize(
    ("sent", "raw", "length", "message"),
    [
        (request(), IMAGES.tobytes(), "many", LENGTH),
        (request(), IMAGES.tobytes(), "-1", LENGTH),
        (request(), IMAGES.tobytes(), "999999", LENGTH),
        (request(), IMAGES.tobytes(), "9" * 5_000, LENGTH),
        (request(), IMAGES.tobytes(), "5", "JSON"),
        (request(), IMAGES.tobytes()[:-1], None, "inputs[0].parameters.binary_data_size"),
        (request(), IMAGES.tobytes() + b"\x00", None, "the body"),
        (request(size=-1), IMAGES.tobytes(), None, "inputs[0].parameters.binary_data_size"),
        (request(size="9"), IMAGES.tobytes(), None, "inputs[0].parameters.binary_data_size"),
        (request(size=5), IMAGES.tobytes()[:5], None, "2352 bytes"),
        ({"inputs": [5]}, b"", None, "inputs"),
        ({"inputs": None}, b"", None, "inputs"),
        ([], b"", None, "a JSON object"),
    ],
)
def test_raw_tensors_of_a_wrong_size_are_named(client, sent, raw, length, message):
    response = post(client, sent, raw, length=length)
    assert response.status_code == 400
    assert message in response.json["error"]
