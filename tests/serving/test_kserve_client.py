"""KServe's clients for the Open Inference Protocol v2, in an environment of its own."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.serving import bundles
from tests.support.serving.client_environments import environment_of, told_by
from tests.support.serving.server_process import run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

ENVIRONMENTS = Path(__file__).parent / "environments"
IMAGES = bundles.IMAGES
EXPECTED = bundles.probabilities(1, IMAGES)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The responses to every operation of the client."""
    place = tmp_path_factory.mktemp("asked-by-kserve")
    kserve = environment_of(ENVIRONMENTS / "kserve.txt", place / "environment")
    folder = bundles.folder(place / "bundle", 1)
    with run_serving("--rehearse", str(folder), place=place / "home", grpc=True) as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        url, grpc = f"http://127.0.0.1:{serving.port}", f"127.0.0.1:{serving.grpc_port}"
        script = ENVIRONMENTS / "ask_by_kserve.py"
        return told_by(kserve, script, url, "digits", grpc, sent=IMAGES.tolist())


def test_it_finds_the_server_and_the_model_ready(report):
    assert report["live"] is report["ready"] is report["model_ready"] is report["v1_ready"] is True
    assert report["nobody_ready"] is False


@pytest.mark.parametrize("form", ["binary False", "binary True"])
def test_it_infers_in_json_and_binary(report, form):
    assert report[form]["datatype"] == "FP32"
    assert np.allclose(report[form]["rows"], EXPECTED, atol=1e-6)
    assert (report["version"], report["id"]) == (bundles.version_name(1), "mine")


def test_its_v1_protocol_works(report):
    assert np.allclose(report["v1"], EXPECTED, atol=1e-6)


def test_its_errors_have_messages(report):
    assert report["mistake"][0] == 400
    assert "inputs[0].shape: expected [-1, 28, 28]" in report["mistake"][1]
    assert report["nobody"][0] == 404
    assert "no model 'nobody' is served here" in report["nobody"][1]


def test_its_grpc_client_finds_the_server_and_the_model_ready(report):
    for asked in ("live", "ready", "model_ready"):
        assert report[f"grpc_{asked}"] is True
    assert report["grpc_nobody_ready"] is False


@pytest.mark.parametrize("form", ["binary False", "binary True"])
def test_its_grpc_client_infers_by_typed_and_raw_contents(report, form):
    assert report[f"grpc {form}"]["datatype"] == "FP32"
    assert np.allclose(report[f"grpc {form}"]["rows"], EXPECTED, atol=1e-6)
    assert (report["grpc_version"], report["grpc_id"]) == (bundles.version_name(1), "mine")
    assert report["grpc_outputs"] == ["probabilities", "seen"]


def test_errors_of_its_grpc_client_have_messages(report):
    code, text = report["grpc_mistake"]
    assert (code, "inputs[0].shape: expected [-1, 28, 28]" in text) == ("INVALID_ARGUMENT", True)
    code, text = report["grpc_nobody"]
    assert (code, "no model 'nobody' is served here" in text) == ("NOT_FOUND", True)
