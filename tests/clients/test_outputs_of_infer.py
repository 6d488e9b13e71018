"""Open Inference Protocol v2, inference: which outputs an answer has, and in which form.

Rules: without `outputs`, "all outputs produced by the model"; each output once; Triton's
extensions `classification` and `binary_tensor_data`.
"""

import json

import numpy as np
import pytest

from tests.support.serving.clients import EXPECTED, IMAGES, INFER, v2

LENGTH = "Inference-Header-Content-Length"


@pytest.mark.parametrize("outputs", [{}, {"outputs": []}, {"outputs": None}])
def test_without_named_outputs_all_outputs_are_returned(client, outputs):
    answer = client.post(INFER, json=v2() | outputs).json

    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "seen"]
    assert np.allclose(answer["outputs"][0]["data"], EXPECTED.ravel(), atol=1e-6)
    assert answer["outputs"][1]["data"] == (IMAGES // 2).ravel().tolist()


def test_a_picture_is_a_request_without_named_outputs(client):
    from overnight.serving.rest.openapi.examples import png
    from tests.support.serving.bundles import TENSORS

    answer = client.post(INFER, data=png(TENSORS), content_type="image/png").json

    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "seen"]


def test_a_named_output_comes_alone(client):
    answer = client.post(INFER, json=v2() | {"outputs": [{"name": "probabilities"}]}).json

    assert [output["name"] for output in answer["outputs"]] == ["probabilities"]


@pytest.mark.parametrize(
    "outputs", [[{"name": "seen"}, {"name": "seen"}], ["seen", "seen"], ["seen", {"name": "seen"}]]
)
def test_an_output_is_named_once(client, outputs):
    response = client.post(INFER, json=v2() | {"outputs": outputs})

    assert response.status_code == 400
    assert response.json == {
        "error": "outputs[1].name: expected each output once, found 'seen' again"
    }


@pytest.mark.parametrize(("asked", "count"), [(1, 1), (3, 3), (10, 10), (11, 10), (999, 10)])
def test_classification_returns_value_index_and_label_highest_first(client, asked, count):
    wanted = {"name": "probabilities", "parameters": {"classification": asked}}

    (output,) = client.post(INFER, json=v2() | {"outputs": [wanted]}).json["outputs"]

    assert (output["datatype"], output["shape"]) == ("BYTES", [3, count])
    rows = np.reshape(output["data"], (3, count))
    for texts, probabilities in zip(rows, EXPECTED, strict=True):
        order = np.argsort(-probabilities, kind="stable")[:count]
        values, indices, labels = zip(*(text.split(":") for text in texts), strict=True)
        assert [int(index) for index in indices] == order.tolist()
        assert np.allclose([float(value) for value in values], probabilities[order], atol=1e-6)
        assert list(labels) == [str(index) for index in order]


def test_classes_without_labels_are_value_and_index(unnamed):
    wanted = {"name": "probabilities", "parameters": {"classification": 1}}

    (output,) = unnamed.post(INFER, json=v2() | {"outputs": [wanted]}).json["outputs"]

    assert all(len(text.split(":")) == 2 for text in output["data"])


def test_of_equal_values_the_lower_index_comes_first(client):
    wanted = {"name": "seen", "parameters": {"classification": 2}}
    body = v2(np.zeros((1, 28, 28), np.uint8)) | {"outputs": [wanted]}

    (output,) = client.post(INFER, json=body).json["outputs"]

    assert output["data"] == ["0:0", "0:1"]


def test_classes_may_be_raw_each_after_its_length(client):
    wanted = {"name": "probabilities", "parameters": {"classification": 2, "binary_data": True}}

    response = client.post(INFER, json=v2() | {"outputs": [wanted]})

    end = int(response.headers[LENGTH])
    (output,) = json.loads(response.data[:end])["outputs"]
    raw, texts = response.data[end:], []
    assert output["parameters"] == {"binary_data_size": len(raw)}
    while raw:
        size = int.from_bytes(raw[:4], "little")
        texts.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    assert len(texts) == 6
    assert all(len(text.split(":")) == 3 for text in texts)


def test_no_classes_are_the_tensor_itself(client):
    wanted = {"name": "probabilities", "parameters": {"classification": 0}}

    (output,) = client.post(INFER, json=v2() | {"outputs": [wanted]}).json["outputs"]

    assert output["datatype"] == "FP32"


@pytest.mark.parametrize("count", [-1, 1.5, "3", True, [], {}])
def test_what_is_no_number_of_classes_is_refused(client, count):
    wanted = {"name": "probabilities", "parameters": {"classification": count}}

    response = client.post(INFER, json=v2() | {"outputs": [wanted]})

    assert response.status_code == 400
    assert "outputs[0].parameters.classification: expected a number" in response.json["error"]


def test_a_raw_binary_request_has_no_json_and_raw_outputs(client):
    response = client.post(
        INFER,
        data=IMAGES[:1].tobytes(),
        headers={LENGTH: "0"},
        content_type="application/octet-stream",
    )

    assert response.status_code == 200
    end = int(response.headers[LENGTH])
    outputs = json.loads(response.data[:end])["outputs"]
    assert [output["shape"] for output in outputs] == [[1, 10], [1, 28, 28]]
    raw = response.data[end:]
    assert np.allclose(np.frombuffer(raw[:40], "<f4"), EXPECTED[0], atol=1e-6)
    assert raw[40:] == (IMAGES[0] // 2).tobytes()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (IMAGES[0].tobytes()[:-1], "inputs[0].data: expected 784 bytes"),
        (IMAGES[:2].tobytes(), "inputs[0].data: expected 784 bytes"),
        (b"", "inputs[0].data: expected 784 bytes"),
    ],
    ids=["a byte less", "two rows", "nothing"],
)
def test_a_raw_binary_request_has_the_bytes_of_one_row(client, body, message):
    response = client.post(INFER, data=body, headers={LENGTH: "0"})

    assert response.status_code == 400
    assert message in response.json["error"]


def test_a_raw_binary_request_is_for_models_with_one_input(shop):
    response = shop.post(INFER, data=b"red", headers={LENGTH: "0"})

    assert response.status_code == 400
    assert "Inference-Header-Content-Length: expected JSON first" in response.json["error"]
