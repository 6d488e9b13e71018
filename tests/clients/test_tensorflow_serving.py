"""TensorFlow Serving's REST API: status and metadata as its protocol buffers, versions as int64.

Rules: GetModelStatusResponse, ModelSpec and SignatureDefMap parse strictly; `:classify` has pairs
of label and score; `:regress` and `:explain` are refused in the form of the protocol.
"""

import json

import numpy as np
import pytest

from overnight.store.objects.keys import new_version, number_of
from tests.clients.conftest import serving_versions
from tests.support.serving import bundles
from tests.support.serving.clients import EXPECTED, IMAGES, INFER, PREDICT, VERSION, v2
from tests.support.serving.tensorflow_messages import parsed

NUMBER = number_of(VERSION)
CLASSIFY = "/v1/models/digits:classify"
ROWS = {"instances": IMAGES.tolist()}
WAYS = ["", f"/versions/{NUMBER}", f"/versions/{VERSION}", "/labels/champion"]


@pytest.mark.parametrize("way", WAYS)
def test_the_status_is_a_get_model_status_response(client, way):
    response = client.get(f"/v1/models/digits{way}")

    (status,) = parsed("GetModelStatusResponse", response.json).model_version_status
    assert (response.status_code, status.version, status.state) == (200, NUMBER, 30)
    assert (status.status.error_code, status.status.error_message) == (0, "")


@pytest.mark.parametrize("way", WAYS)
def test_the_metadata_is_a_model_spec_and_a_signature_def_map(client, way):
    body = client.get(f"/v1/models/digits{way}/metadata").json

    assert list(body) == ["model_spec", "metadata"]
    spec = parsed("ModelSpec", body["model_spec"])
    assert (spec.name, spec.version) == ("digits", NUMBER)
    assert list(body["metadata"]) == ["signature_def"]
    signatures = parsed("SignatureDefMap", body["metadata"]["signature_def"]).signature_def
    image = signatures["serving_default"].inputs["image"]
    assert [side.size for side in image.tensor_shape.dim] == [-1, 28, 28]


def test_kserves_client_reads_ready_at_the_same_path(client):
    response = client.get("/v1/models/digits", headers={"User-Agent": "python-httpx/0.28.1"})

    assert (response.json["name"], response.json["ready"]) == ("digits", True)
    assert "User-Agent" in response.headers["Vary"]


def test_numbers_of_versions_are_int64_rise_and_follow_from_the_name():
    numbers = [number_of(bundles.version_name(number)) for number in range(1, 50)]

    assert numbers == sorted(set(numbers))
    # Exact in JavaScript, too, and one that was given once stays.
    assert numbers[-1] < 2**53
    assert number_of("20261122T000001-000000000001") == 1795305601_000001
    assert number_of("20261122T000001-ffffffffffff") == 1795305601_710655


@pytest.mark.parametrize("number", [1, 2])
def test_a_version_is_requested_by_number_or_name_in_both_protocols(two_versions, number):
    name = bundles.version_name(number)
    expected = bundles.probabilities(number, IMAGES)

    for version in (name, str(number_of(name))):
        v1 = two_versions.post(f"/v1/models/digits/versions/{version}:predict", json=ROWS)
        v2_ = two_versions.post(f"/v2/models/digits/versions/{version}/infer", json=v2())
        assert v1.headers["X-Model-Version"] == v2_.headers["X-Model-Version"] == name
        assert np.allclose(v1.json["predictions"], expected, atol=1e-6)
        assert v2_.json["model_version"] == name
        for rest in ("", "/ready", "/config", "/stats"):
            assert (
                two_versions.get(f"/v2/models/digits/versions/{version}{rest}").status_code == 200
            )


def test_the_status_lists_all_loaded_versions_newest_first(two_versions):
    body = parsed("GetModelStatusResponse", two_versions.get("/v1/models/digits").json)

    names = [bundles.version_name(2), bundles.version_name(1)]
    assert [status.version for status in body.model_version_status] == list(map(number_of, names))


@pytest.mark.parametrize("version", ["7", "0", "-1", "9" * 400, f"0{NUMBER}", f"{NUMBER}.0"])
def test_a_number_of_no_version_is_unknown(client, version):
    for path in (
        f"/v1/models/digits/versions/{version}:predict",
        f"/v1/models/digits/versions/{version}",
    ):
        response = client.post(path, json=ROWS) if ":" in path else client.get(path)
        assert response.status_code == 404
        assert VERSION in response.json["error"]


def test_a_number_of_two_versions_chooses_neither():
    # Given two versions of one second, whose fingerprints agree in what is in the number.
    at = bundles.manifest(1, bundles.files(1)).created_at
    twins = [new_version(f"{number:012x}", at) for number in (1, 1_000_001)]
    assert number_of(twins[0]) == number_of(twins[1])
    host = serving_versions(*twins)

    response = host.post(f"/v1/models/digits/versions/{number_of(twins[0])}:predict", json=ROWS)

    assert response.status_code == 404
    assert "is the number of several versions" in response.json["error"]
    assert all(twin in response.json["error"] for twin in twins)
    assert host.post(f"/v1/models/digits/versions/{twins[0]}:predict", json=ROWS).status_code == 200


def test_the_api_of_models_lists_name_and_number(client):
    body = client.get("/api/models/digits").json

    assert (body["version"], body["number"]) == (VERSION, NUMBER)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "body",
    [
        {"examples": [{"image": image.tolist()} for image in IMAGES]},
        {"examples": [{"image": image.ravel().tolist()} for image in IMAGES]},
        {"examples": [{}], "context": {"image": IMAGES[0].tolist()}},
        {"signature_name": "serving_default", "examples": [{"image": IMAGES[0].tolist()}]},
    ],
    ids=["nested", "flat", "context", "signature"],
)
def test_classify_has_a_label_and_a_score_for_every_class(client, body, way):
    response = client.post(f"/v1/models/digits{way}:classify", json=body)

    assert response.status_code == 200
    assert response.headers["X-Model-Version"] == VERSION
    for pairs, expected in zip(response.json["results"], EXPECTED, strict=False):
        assert [label for label, _ in pairs] == list("0123456789")
        assert np.allclose([score for _, score in pairs], expected, atol=1e-6)
    assert len(response.json["results"]) == len(body["examples"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "examples: expected a list of objects, found null"),
        ({"examples": [1]}, "examples: expected a list of objects"),
        ({"examples": []}, "examples: expected a list of at least one row"),
        ({"examples": [{}], "context": []}, "context: expected an object"),
        ({"examples": [{"photo": 1}]}, "examples[0]: expected ['image']"),
        ({"examples": [{"image": [1, 2]}]}, "expected a list of 28"),
        ({"examples": [{"image": [True] * 784}]}, "expected UINT8 values, found a boolean"),
        ({"signature_name": "other", "examples": [{}]}, "signature_name"),
    ],
)
def test_examples_are_refused_in_words(client, body, message):
    response = client.post(CLASSIFY, json=body)

    assert (response.status_code, list(response.json)) == (400, ["error"])
    assert message in response.json["error"]


def test_single_values_of_examples_may_be_lists_as_features_are(shop):
    row = {"title": "red", "price": 4.0, "shop": "north", "clicks": [1, 2]}
    lists = {name: value if name == "clicks" else [value] for name, value in row.items()}

    response = shop.post(CLASSIFY, json={"examples": [lists]})

    # The model has no classes, which is looked at first.
    assert response.status_code == 400
    assert "expected :predict, as the first output has no classes" in response.json["error"]


def test_a_model_without_labels_is_not_classified(unnamed):
    response = unnamed.post(CLASSIFY, json={"examples": [{"image": IMAGES[0].tolist()}]})

    assert response.status_code == 400
    assert response.json["error"].startswith("the path: expected :predict")


@pytest.mark.parametrize("verb", ["regress", "explain"])
@pytest.mark.parametrize("way", WAYS)
def test_other_verbs_are_refused_in_the_form_of_the_protocol(client, verb, way):
    response = client.post(f"/v1/models/digits{way}:{verb}", json={"examples": [{}]})

    assert (response.status_code, list(response.json)) == (400, ["error"])
    expected = f"the path: expected :predict or :classify, found :{verb}, which digits has not"
    assert response.json["error"] == expected


@pytest.mark.parametrize("verb", ["classify", "regress", "explain", "predict"])
def test_verbs_of_an_unknown_model_are_unknown(client, verb):
    response = client.post(f"/v1/models/nobody:{verb}", json={"examples": [{}]})

    assert response.status_code == 404
    assert "no model 'nobody' is served here; loaded are: digits" in response.json["error"]


def _counted(client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {
        line.rpartition(" ")[0]: float(line.split()[-1])
        for line in lines
        if line.startswith("overnight_requests_total{")
    }


@pytest.mark.parametrize("path", [INFER, PREDICT, CLASSIFY])
@pytest.mark.parametrize("method", ["options", "get", "put"])
def test_only_inference_is_counted_as_inference(client, path, method):
    before = _counted(client)

    getattr(client, method)(path)

    assert _counted(client) == before


def test_a_classification_is_counted_once(two_versions):
    body = json.dumps({"examples": [{"image": IMAGES[0].tolist()}]})

    two_versions.post(CLASSIFY, data=body), two_versions.post(CLASSIFY, data=b"{}")

    assert sorted(_counted(two_versions).values()) == [1, 1]


@pytest.mark.parametrize("path", ["/v1/models", "/v2/models"])
def test_the_models_are_listed(client, path):
    assert client.get(path).json == {"models": ["digits"]}
