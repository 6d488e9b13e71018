"""TensorFlow Serving's REST API: `:predict`."""

import numpy as np
import pytest

from tests.support.serving.clients import EXPECTED, IMAGES, PREDICT, VERSION


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
    ("body", "message"),
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
def test_v1_errors_name_the_field(client, body, message):
    response = client.post(PREDICT, json=body)

    assert response.status_code == 400
    assert response.json.keys() == {"error"}
    for entry in message:
        assert entry in response.json["error"]
