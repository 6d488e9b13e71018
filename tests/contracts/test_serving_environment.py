"""Serving works in an environment without the packages of training."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.serving import bundles
from tests.support.serving.server_process import ROOT, follow_settings, run_serving
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

ABSENT = ("tensorflow", "keras", "pandas", "deltalake", "pyarrow", "prefect", "scipy", "matplotlib")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what the base and the serving extra name, exactly as locked."""
    place = tmp_path_factory.mktemp("serving-environment") / "environment"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "sync", "--frozen", "--no-default-groups", "--extra", "serving",
         "--no-install-project", "--python", sys.executable],
        cwd=ROOT,
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(place)},
        check=True,
        capture_output=True,
        timeout=500,
    )  # fmt: skip
    return place / "bin" / "python"


def test_the_serving_environment_has_no_package_of_training(python):
    requested = f"""
import importlib.util
print([name for name in {ABSENT!r} if importlib.util.find_spec(name)])
"""
    output = subprocess.run([python, "-c", requested], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "[]"


def test_serving_follows_a_store_in_the_serving_environment(
    python, tmp_path, s3_bucket: S3Bucket, s3_address: S3Address
):
    log = alias_log(s3_bucket, bundles.MODEL)
    for number in (1, 2):
        bundles.publish(s3_bucket, number)
    promote(log, 1)

    with run_serving(place=tmp_path, python=python, **follow_settings(s3_address)) as serving:
        until(serving.is_ready, what="serving is ready")
        promote(log, 2)
        until(lambda: serving.version() == bundles.version_name(2), what="version 2 answers")
        # It answers before it has said so.
        (output,) = until(lambda: log.acknowledgements(2), what="it is acknowledged")

    assert output.serving


def test_serving_answers_in_the_serving_environment(python, tmp_path):
    folder = bundles.folder(tmp_path / "bundle", 1)
    blank = np.zeros((1, 28, 28), np.uint8)

    with run_serving("--rehearse", str(folder), place=tmp_path / "home", python=python) as serving:
        until(serving.is_ready, what="serving is ready")
        status, headers, answer = serving.request(
            "POST", "/v1/models/digits:predict", {"instances": blank.tolist()}
        )

    assert (status, headers["x-model-version"]) == (200, bundles.version_name(1))
    assert np.allclose(answer["predictions"], bundles.probabilities(1, blank), atol=1e-6)
