"""Triton's extensions of the Open Inference Protocol v2: repository, configuration, statistics.

Rules: `ready` may be null; `config` has the fields of model_config.proto that perf_analyzer reads;
`stats` has success, failure and durations in nanoseconds for each version.
"""

import time

import pytest

from tests.support.serving.clients import INFER, LIMITS, VERSION, v2


@pytest.mark.parametrize("body", [{"ready": None}, {"ready": True}, {"ready": False}, {}])
def test_the_index_takes_ready_or_null(client, body):
    response = client.post("/v2/repository/index", json=body)

    assert response.status_code == 200
    assert [entry["state"] for entry in response.json] == ["READY"]


@pytest.mark.parametrize("ready", [0, 1, "", "true", [], {}])
def test_the_index_refuses_other_values(client, ready):
    response = client.post("/v2/repository/index", json={"ready": ready})

    assert response.status_code == 400
    assert "ready: expected true or false" in response.json["error"]


def test_the_platform_is_framework_and_format(client):
    assert client.get("/v2/models/digits").json["platform"] == "tensorflow_litert"


def test_every_extension_that_is_named_is_answered(client):
    extensions = client.get("/v2").json["extensions"]

    assert {"classification", "model_configuration", "statistics"} <= set(extensions)


@pytest.mark.parametrize("way", ["", f"/versions/{VERSION}"])
def test_the_configuration_has_batch_types_and_dims(client, way):
    config = client.get(f"/v2/models/digits{way}/config").json

    assert (config["name"], config["platform"]) == ("digits", "tensorflow_litert")
    assert config["max_batch_size"] == LIMITS.batch_rows
    (image,) = config["input"]
    assert (image["data_type"], image["dims"]) == ("TYPE_UINT8", [28, 28])
    assert [(o["name"], o["data_type"], o["dims"]) for o in config["output"]] == [
        ("probabilities", "TYPE_FP32", [10]),
        ("seen", "TYPE_UINT8", [28, 28]),
    ]


def test_single_values_and_texts_in_the_configuration(shop):
    inputs = {
        tensor["name"]: tensor for tensor in shop.get("/v2/models/digits/config").json["input"]
    }

    assert inputs["title"]["data_type"] == "TYPE_STRING"
    assert (inputs["price"]["dims"], inputs["price"]["reshape"]) == ([1], {"shape": []})
    assert inputs["clicks"]["dims"] == [-1]
    assert [name for name, tensor in inputs.items() if tensor["optional"]] == ["weight"]


@pytest.mark.parametrize(
    "path", ["models/stats", "models/digits/stats", f"models/digits/versions/{VERSION}/stats"]
)
def test_the_statistics_count_what_a_version_answered(two_versions, path):
    path = path.replace(VERSION, "20261122T000002-000000000002")
    began = int(time.time() * 1000)
    for _ in range(3):
        two_versions.post(INFER, json=v2())
    two_versions.post(INFER, json=v2(shape=[1]))

    stats = two_versions.get(f"/v2/{path}").json["model_stats"]

    newest = stats[0]
    assert (newest["name"], newest["version"]) == ("digits", "20261122T000002-000000000002")
    assert (newest["inference_count"], newest["execution_count"]) == (3, 3)
    assert newest["last_inference"] >= began
    parts = newest["inference_stats"]
    assert (parts["success"]["count"], parts["fail"]["count"]) == (3, 1)
    assert parts["success"]["ns"] == parts["compute_infer"]["ns"] > 0
    for part in ("queue", "compute_input", "compute_output"):
        assert parts[part] == {"count": 0, "ns": 0}
    # A version that answered nothing is there, too.
    idle = [stat["inference_count"] for stat in stats[1:]]
    assert idle == ([] if "versions" in path else [0])


@pytest.mark.parametrize(
    "path", ["nobody/stats", "nobody/config", "digits/versions/7/stats", "digits/versions/7/config"]
)
def test_what_is_not_served_has_neither(client, path):
    response = client.get(f"/v2/models/{path}")

    assert (response.status_code, list(response.json)) == (404, ["error"])
