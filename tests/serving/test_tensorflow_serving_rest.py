"""Clients of TensorFlow Serving's REST interface: what they send is what its manual shows.

curl is the client of that manual; the other forms are those of its Python examples.
"""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest

from overnight.store.objects.keys import number_of
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

VERSION = bundles.version_name(1)
IMAGES = bundles.IMAGES
EXPECTED = bundles.probabilities(1, IMAGES)
ROWS = IMAGES.tolist()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("rest")
    folder = bundles.folder(place / "bundle", 1)
    with run_serving("--rehearse", str(folder), place=place / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        yield serving


def _curl(serving: Serving, path: str, *options: str, body: object = None) -> dict:
    """The response to curl as in the manual: `-d` labels the body as a form."""
    sent = ["-d", "@-"] if body is not None else []
    done = subprocess.run(
        ["curl", "--silent", *sent, *options, f"http://127.0.0.1:{serving.port}{path}"],
        input=json.dumps(body).encode(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"instances": ROWS}, "predictions"),
        ({"instances": [{"image": row} for row in ROWS]}, "predictions"),
        ({"signature_name": "serving_default", "instances": ROWS}, "predictions"),
        ({"inputs": ROWS}, "outputs"),
        ({"inputs": {"image": ROWS}}, "outputs"),
        ({"signature_name": "serving_default", "inputs": {"image": ROWS}}, "outputs"),
    ],
)
@pytest.mark.parametrize("way", ["", f"/versions/{VERSION}", "/labels/champion"])
def test_responses_use_the_row_or_column_format_of_the_request(serving, body, field, way):
    answer = _curl(serving, f"/v1/models/digits{way}:predict", "-X", "POST", body=body)

    assert list(answer) == [field]
    assert np.allclose(answer[field], EXPECTED, atol=1e-6)


def test_the_python_client_of_the_tutorials_works(serving):
    body = json.dumps({"signature_name": "serving_default", "instances": ROWS}).encode()
    address = f"http://127.0.0.1:{serving.port}/v1/models/digits:predict"
    request = urllib.request.Request(address, body, {"content-type": "application/json"})

    with urllib.request.urlopen(request, timeout=60) as answer:
        predictions = json.load(answer)["predictions"]

    assert np.allclose(predictions, EXPECTED, atol=1e-6)


@pytest.mark.parametrize("way", ["", f"/versions/{VERSION}", "/labels/champion"])
def test_the_status_lists_the_available_versions(serving, way):
    answer = _curl(serving, f"/v1/models/digits{way}")

    assert answer["model_version_status"] == [
        {
            "version": str(number_of(VERSION)),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]


@pytest.mark.parametrize("way", ["", f"/versions/{VERSION}", "/labels/champion"])
def test_the_metadata_is_that_of_a_saved_model(serving, way):
    answer = _curl(serving, f"/v1/models/digits{way}/metadata")

    assert answer["model_spec"]["name"] == "digits"
    (signature,) = answer["metadata"]["signature_def"]["signature_def"].values()
    image = signature["inputs"]["image"]
    assert image["dtype"] == "DT_UINT8"
    assert [int(side["size"]) for side in image["tensor_shape"]["dim"]] == [-1, 28, 28]
    assert signature["outputs"]["probabilities"]["dtype"] == "DT_FLOAT"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/models/nobody:predict", {"instances": ROWS}, 404, "no model 'nobody'"),
        ("/v1/models/digits/versions/7:predict", {"instances": ROWS}, 404, "'7' is not loaded"),
        ("/v1/models/digits/labels/stable:predict", {"instances": ROWS}, 404, "no label 'stable'"),
        ("/v1/models/digits:predict", {"instances": [[1.0]]}, 400, "instances[0]"),
        ("/v1/models/digits:predict", {"examples": []}, 400, "either `instances` or `inputs`"),
        ("/v1/models/digits:regress", {"examples": [{}]}, 400, "found :regress"),
        (
            "/v1/models/digits:predict",
            {"signature_name": "other", "instances": ROWS},
            400,
            "signature_name: expected serving_default",
        ),
    ],
)
def test_errors_have_the_form_of_tensorflow_serving(serving, path, body, status, message):
    address = f"http://127.0.0.1:{serving.port}{path}"

    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(address, json.dumps(body).encode(), timeout=60)

    with refusal.value as answer:
        actual = json.load(answer)
    assert (answer.code, list(actual)) == (status, ["error"])
    assert message in actual["error"]
