"""Errors and responses stay short, however much a client sends."""

import pytest

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs import v1_json, v2_binary, v2_json
from overnight.serving.inference.limits import Limits
from overnight.store.schema import TensorSpec
from tests.support.serving import clients

MOST = 300


class Vast(list):
    """A list whose repr must not be built: for a whole body, it takes a second."""

    def __repr__(self) -> str:
        raise AssertionError("all of it was written out")


class VastObject(dict):
    """A dict whose repr must not be built."""

    __repr__ = Vast.__repr__


class Scalars:
    """A version with scalar rows, which no test here runs."""

    inputs = outputs = (TensorSpec(name="x", datatype="FP32", shape=()),)
    ignored = frozenset()

    @property
    def predictor(self) -> "Scalars":
        return self


TENSOR = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}
LONG = "k" * 100_000


@pytest.mark.parametrize(
    ("field", "payload"),
    [
        ("inputs", {"inputs": [TENSOR | {"name": Vast()}]}),
        ("inputs", {"inputs": [TENSOR | {"name": LONG}]}),
        ("inputs[0].datatype", {"inputs": [TENSOR | {"datatype": Vast()}]}),
        ("inputs[0].datatype", {"inputs": [TENSOR | {"datatype": LONG}]}),
        ("inputs[0].shape", {"inputs": [TENSOR | {"shape": Vast([1] * 90)}]}),
        ("inputs[0].shape", {"inputs": [TENSOR | {"shape": [Vast()]}]}),
        ("outputs[0].name", {"inputs": [TENSOR], "outputs": [{"name": Vast()}]}),
        ("outputs[0].name", {"inputs": [TENSOR], "outputs": [LONG]}),
    ],
)
def test_errors_of_v2_are_short(field, payload):
    with pytest.raises(BadInput, match="expected") as raised:
        v2_json.infer(payload, Scalars(), Limits())

    assert raised.value.field == field
    assert len(str(raised.value)) < MOST


@pytest.mark.parametrize(
    ("field", "payload"),
    [
        ("signature_name", {"instances": [1.0], "signature_name": Vast()}),
        ("signature_name", {"instances": [1.0], "signature_name": LONG}),
        ("the body", {LONG: 1}),
        ("instances", {"instances": VastObject()}),
        ("instances[0]", {"instances": [{LONG: 1}]}),
        ("inputs", {"inputs": {LONG: [1]}}),
        ("inputs", {"inputs": {f"{LONG}{place}": [1] for place in range(50)}}),
    ],
)
def test_errors_of_v1_are_short(field, payload):
    with pytest.raises(BadInput, match="expected") as raised:
        v1_json.predict(payload, Scalars(), Limits())

    assert raised.value.field == field
    assert len(str(raised.value)) < 2 * MOST


def test_errors_of_raw_tensor_sizes_are_short():
    given = {"parameters": {"binary_data_size": Vast()}}

    with pytest.raises(BadInput, match="expected at most the 4 bytes that are left"):
        v2_binary.attach({"inputs": [given]}, memoryview(bytes(4)))


def test_outputs_requested_more_than_once_are_refused(client):
    # Given a small body that requests the same output thousands of times.
    payload = clients.v2() | {"outputs": ["probabilities"] * 4_000}

    response = client.post(clients.INFER, json=payload)

    assert response.status_code == 400
    assert "outputs[1].name: expected each output once" in response.json["error"]
