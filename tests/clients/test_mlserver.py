"""MLServer's unmodified codecs, types and command line, in an environment of their own.

Rules: its types are generated from the OpenAPI document of the Open Inference Protocol, which it
ships: every answer is one of them, and valid by the schemas of that document.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from jsonschema_rs import validator_for

from tests.support.serving import bundles
from tests.support.serving.client_environments import environment_of, told_by
from tests.support.serving.clients import INFER

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

ENVIRONMENTS = Path(__file__).parent / "environments"
IMAGES = bundles.IMAGES
EXPECTED = bundles.probabilities(1, IMAGES)


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mlserver") / "environment"
    return environment_of(ENVIRONMENTS / "mlserver.txt", place)


@pytest.fixture(scope="module")
def report(mlserver, serving) -> dict:
    """The responses as its codecs and types read them."""
    script, url = ENVIRONMENTS / "ask_by_mlserver.py", f"http://127.0.0.1:{serving.port}"
    grpc = f"127.0.0.1:{serving.grpc_port}"
    return told_by(mlserver, script, url, bundles.MODEL, grpc, sent=IMAGES.tolist())


def test_its_types_read_metadata_and_index(report):
    assert (report["server"], report["platform"]) == ("overnight", "tensorflow_litert")
    assert report["inputs"] == [["image", "UINT8", [-1, 28, 28]]]
    assert [state.rpartition(".")[2] for state in report["states"]] == ["READY"]


def test_arrays_go_there_and_back_by_its_codec(report):
    assert report["version"] == bundles.version_name(1)
    assert np.allclose(report["outputs"]["probabilities"], EXPECTED, atol=1e-6)
    assert np.array_equal(report["outputs"]["seen"], IMAGES // 2)
    assert np.allclose(report["by request codec"], EXPECTED, atol=1e-6)


def test_its_stub_and_its_converters_read_messages(report):
    told = report["grpc"]

    assert (told["server"], told["platform"]) == ("overnight", "tensorflow_litert")
    assert told["states"] == ["READY"]
    assert told["ids"] == ["mine", "mine"]
    for outputs in told["outputs"]:
        assert np.allclose(outputs["probabilities"], EXPECTED, atol=1e-6)
        assert np.array_equal(outputs["seen"], IMAGES // 2)
    code, text = told["refused"]
    assert (code, "no 'image'" in text or "expected the tensors" in text) == (
        "INVALID_ARGUMENT",
        True,
    )


def test_an_error_is_one_of_its_types(report):
    status, message = report["refused"]

    assert status == 400
    assert "no 'image'" in message


def test_a_table_by_its_codec_is_read_as_columns(report, shop):
    rows = [
        {"title": "red blau", "price": 4.0, "shop": "north", "clicks": [1, 2]},
        {"title": "green", "price": None, "shop": "west", "clicks": [3, 4]},
    ]
    expected = shop.post("/v1/models/digits:predict", json={"instances": rows}).json["predictions"]
    sent = json.loads(report["table"])
    assert [tensor["shape"] for tensor in sent["inputs"]] == [[2, 1], [2, 1], [2, 1], [2, 2]]

    response = shop.post(INFER, json=sent)

    assert response.status_code == 200, response.json
    assert np.allclose(np.reshape(response.json["outputs"][0]["data"], (2, 7)), expected)


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/v2", "MetadataServerResponse"),
        ("/v2/models/digits", "MetadataModelResponse"),
        (f"/v2/models/digits/versions/{bundles.version_name(1)}", "MetadataModelResponse"),
        ("/v2/models/nobody", "MetadataModelErrorResponse"),
        (INFER, "InferenceResponse"),
        ("/v2/models/nobody/infer", "InferenceErrorResponse"),
    ],
)
def test_answers_are_valid_by_the_document_of_the_protocol(report, client, path, schema):
    rows = {"name": "image", "shape": [5, 28, 28], "datatype": "UINT8", "data": IMAGES.tolist()}
    body = {"id": "42", "inputs": [rows]}
    answer = client.post(path, json=body) if path.endswith("/infer") else client.get(path)
    schemas = report["document"]["components"]["schemas"]
    # Of its alternatives one has a type that JSON has not.
    schemas["TensorData"]["oneOf"] = schemas["TensorData"]["oneOf"][:1]

    validator = validator_for({"$ref": f"#/components/schemas/{schema}"} | report["document"])

    assert set(schemas[schema].get("required", ())) <= answer.json.keys()
    validator.validate(answer.json)


@pytest.mark.parametrize("options", [[], ["--batch-size", "2"], ["--binary-data"]])
def test_its_command_line_infers_a_file_of_requests(mlserver, serving, tmp_path, options):
    requests = tmp_path / "requests.jsonl"
    rows = [
        {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": image.ravel().tolist()}
        for image in IMAGES
    ]
    lines = [json.dumps({"id": f"{place}", "inputs": [row]}) for place, row in enumerate(rows)]
    requests.write_text("\n".join(lines) + "\n")
    answers = tmp_path / "answers.jsonl"
    command = [mlserver.with_name("mlserver"), "infer", "--url", f"127.0.0.1:{serving.port}"]
    command += ["--model-name", bundles.MODEL, "--workers", "1", *options]

    done = subprocess.run(
        [*command, "--input-data-path", requests, "--output-data-path", answers],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = {}
    for line in answers.read_text().splitlines():
        answer = json.loads(line)
        found[int(answer["parameters"]["batch_index"])] = answer["outputs"][0]["data"]
    assert sorted(found) == list(range(len(IMAGES))), done.stderr
    for place, expected in enumerate(EXPECTED):
        assert np.allclose(np.ravel(found[place]), expected, atol=1e-6)
