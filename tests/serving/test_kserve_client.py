"""KServe's client for the Open Inference Protocol v2, in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.serving import bundles
from tests.support.serving.server_process import run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

ENVIRONMENTS = Path(__file__).parent / "environments"
IMAGES = bundles.IMAGES
EXPECTED = bundles.probabilities(1, IMAGES)


@pytest.fixture(scope="session")
def kserve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with KServe's client, whose dependencies are older than ours."""
    place = tmp_path_factory.mktemp("kserve") / "environment"
    uv = Path(sys.executable).with_name("uv")
    python = place / "bin" / "python"
    install = ["pip", "install", "--python", python, "--requirement", ENVIRONMENTS / "kserve.txt"]
    for command in (["venv", "--python", sys.executable, place], [*install, "--no-deps"]):
        subprocess.run([uv, *command], check=True, capture_output=True, timeout=280)
    return python


@pytest.fixture(scope="module")
def report(kserve: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The responses to every operation of the client."""
    place = tmp_path_factory.mktemp("asked-by-kserve")
    folder = bundles.folder(place / "bundle", 1)
    with run_serving("--rehearse", str(folder), place=place / "home") as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        asking = subprocess.run(
            [
                kserve,
                ENVIRONMENTS / "ask_by_kserve.py",
                f"http://127.0.0.1:{serving.port}",
                "digits",
            ],
            input=json.dumps(IMAGES.tolist()),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert asking.returncode == 0, asking.stderr
    return json.loads(asking.stdout.splitlines()[-1])


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
