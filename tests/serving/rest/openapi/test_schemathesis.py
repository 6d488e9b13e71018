"""schemathesis sends valid and invalid requests generated from the OpenAPI document.

No response may be a 5xx or deviate from the document; what the document does not allow is refused,
and what it allows is accepted. What no schema says, such as how many values a tensor has and what
is a picture, `schemathesis_hooks.py` adds.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.serving import bundles
from tests.support.serving.server_process import ROOT, follow_settings, run_serving
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

TOKEN = "a-token-of-the-tests"
SEED = "20261122"
EXAMPLES = "10"
CHECKS = (
    "positive_data_acceptance",
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
    "negative_data_rejection",
)
HOOKS = {
    "SCHEMATHESIS_HOOKS": "tests.support.serving.schemathesis_hooks",
    "PYTHONPATH": str(ROOT),
}
# Too many rows are refused with 413, which is no answer to invalid data by default.
CONFIG = """[checks]
negative_data_rejection.expected-statuses = ["4xx"]
"""


@pytest.fixture
def serving(bucket, address, tmp_path):
    """A host with two workers that serves the second of two versions."""
    log = alias_log(bucket, bundles.MODEL)
    settings = follow_settings(address, poll_seconds="1", admin_token=TOKEN)
    with run_serving(place=tmp_path, **settings) as serving:
        for number in (1, 2):
            bundles.publish(bucket, number)
            promote(log, number)
            until(
                lambda number=number: serving.version() == bundles.version_name(number),
                what=f"version {number} answers",
            )
        yield serving


def test_every_response_conforms_to_the_document(serving, tmp_path):
    schemathesis = Path(sys.executable).with_name("schemathesis")
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)

    done = subprocess.run(
        [
            schemathesis, "--config-file", config, "run", f"http://127.0.0.1:{serving.port}/api/openapi.json",
            "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
            "--max-examples", EXAMPLES, "--seed", SEED, "--continue-on-failure",
            "--generation-database", "none", "--no-shrink", "--warnings", "off",
            "-H", f"Authorization: Bearer {TOKEN}",
        ],
        cwd=tmp_path,
        env=os.environ | HOOKS,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert serving.process.poll() is None
