"""A missing value of a nullable tensor is null in JSON, in both protocols, and NaN to a network."""

from pathlib import Path

import pytest

from overnight.serving.errors import BadInput
from overnight.serving.inference.codecs import v1_json, v2_json
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import LoadedVersion
from overnight.serving.inference.runtime import Predictor
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles

# Answers 2 x price, and 1 where the price is missing.
NETWORK = (Path(__file__).parents[3] / "goldens" / "gaps" / "predictor.tflite").read_bytes()
UNITS = TensorSpec(name="units", datatype="FP32", shape=(1,))
REQUESTS = {
    "v1 instances": (v1_json.predict, {"instances": [3, None]}, "predictions"),
    "v1 named": (v1_json.predict, {"instances": [{"price": 3}, {"price": None}]}, "predictions"),
    "v1 columns": (v1_json.predict, {"inputs": {"price": [3, None]}}, "outputs"),
    "v2": (
        v2_json.infer,
        {
            "inputs": [
                {"name": "price", "shape": [2], "datatype": "FP32", "data": [3, None]},
            ]
        },
        "outputs",
    ),
}


def loaded(*, nullable: bool) -> LoadedVersion:
    price = TensorSpec(name="price", datatype="FP32", shape=(), minimum=0, nullable=nullable)
    manifest = bundles.manifest(1, {}, tensors=Schema(inputs=(price,), outputs=(UNITS,)))
    return LoadedVersion(1, Predictor(manifest, NETWORK, threads=1), None)


@pytest.mark.parametrize("kind", REQUESTS)
def test_null_is_a_missing_value_where_the_tensor_is_nullable(kind: str) -> None:
    predict, request, field = REQUESTS[kind]

    answer = predict(request, loaded(nullable=True), Limits())[field]

    rows = answer[0]["data"] if kind == "v2" else answer
    assert rows.ravel().tolist() == [6, 1]


@pytest.mark.parametrize("kind", REQUESTS)
def test_null_is_refused_by_place_elsewhere(kind: str) -> None:
    predict, request, _ = REQUESTS[kind]

    with pytest.raises(BadInput, match=r"\[1\]: expected FP32 values, found null"):
        predict(request, loaded(nullable=False), Limits())
