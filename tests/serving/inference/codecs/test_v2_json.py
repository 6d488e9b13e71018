"""The Open Inference Protocol v2 in JSON."""

from dataclasses import dataclass

import numpy as np
import pytest

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs import v2_json as protocol
from overnight.serving.inference.limits import Limits
from overnight.store.schema import TensorSpec
from tests.support.serving.clients import EXPECTED, IMAGES, INFER, VERSION, changed, v2


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
    output, seen = answer["outputs"]
    assert seen["data"] == (IMAGES // 2).ravel().tolist()
    assert (output["name"], output["datatype"], output["shape"]) == (
        "probabilities",
        "FP32",
        [3, 10],
    )
    assert np.allclose(np.reshape(output["data"], (3, 10)), EXPECTED, atol=1e-6)


def test_v2_returns_the_requested_outputs(client):
    request = v2() | {"outputs": [{"name": "seen"}, {"name": "probabilities"}]}

    seen, probabilities = client.post(INFER, json=request).json["outputs"]

    assert (seen["name"], seen["datatype"], seen["shape"]) == ("seen", "UINT8", [3, 28, 28])
    assert seen["data"] == (IMAGES // 2).ravel().tolist()
    assert probabilities["name"] == "probabilities"


def test_integers_may_be_written_as_floats(client):
    data = IMAGES.astype(float).ravel().tolist()
    response = client.post(INFER, json=v2(data=data))
    assert np.allclose(
        np.reshape(response.json["outputs"][0]["data"], (3, 10)), EXPECTED, atol=1e-6
    )


@pytest.mark.parametrize(
    ("body", "message"),
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
        (v2() | {"outputs": ["seen"] * 3}, ["outputs[1].name", "each output once", "'seen' again"]),
        ({"inputs": v2()["inputs"] * 2}, ["inputs", "'image'"]),
        ([], ["the body", "a JSON object"]),
        ("text", ["the body", "a JSON object"]),
    ],
)
def test_v2_errors_name_the_field(client, body, message):
    response = client.post(INFER, json=body)

    assert response.status_code == 400
    assert response.json.keys() == {"error"}
    for entry in message:
        assert entry in response.json["error"]


@dataclass
class Scalars:
    """A version with scalar rows, which no test here runs."""

    inputs = outputs = (TensorSpec(name="x", datatype="FP32", shape=()),)
    ignored = frozenset()

    @property
    def predictor(self) -> "Scalars":
        return self


@pytest.mark.parametrize("shape", [[], [1, 2], [1, 1, 1], [1, True], [0], None])
def test_v2_errors_name_the_shape_of_scalar_rows(shape):
    tensor = {"name": "x", "shape": shape, "datatype": "FP32", "data": [1.0]}

    with pytest.raises(BadInput, match=r"inputs\[0\]\.shape: expected \[-1\]"):
        protocol.infer({"inputs": [tensor]}, Scalars(), Limits())


def test_v2_metadata_lists_the_tensors(client):
    answer = client.get("/v2/models/digits").json
    assert answer["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert answer["versions"] == [VERSION]
