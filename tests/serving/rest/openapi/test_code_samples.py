"""Every code sample of the documentation page runs without changes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import playwright
import pytest

from overnight.store.objects.bucket import Bucket
from overnight.store.registry.actor import Actor
from tests.support.serving import bundles, forecasts
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import SIGNER, alias_log, registry
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

NODE = Path(playwright.__file__).parent / "driver" / "node"
# After digits, whose samples show what does not depend on a model.
SALES = "sales"
TOKEN = "a-token-of-the-tests"
# Samples that change the champion run last, and a challenge is started before it is stopped.
LATE = ["challenge", "stopChallenge", "promote", "rollBack"]


@pytest.fixture
def serving(bucket, address, tmp_path) -> Iterator[Serving]:
    """A host that serves the second of two versions, both with a report."""
    log = alias_log(bucket, bundles.MODEL)
    settings = follow_settings(address, admin_token=TOKEN)
    with run_serving(place=tmp_path / "home", **settings) as serving:
        for number in (1, 2):
            bundle = bundles.files(number) | {"report.html": b"<p>good</p>"}
            version = bundles.publish(bucket, number, bundle)
            actor = Actor("a test", "it is good")
            registry(bucket, "digits").decisions.decide(version, "approved", actor)
            promote(log, number)
            until(
                lambda number=number: serving.version() == bundles.version_name(number),
                what=f"version {number} answers",
            )
        report = f"/api/models/digits/versions/{bundles.version_name(2)}/report"
        until(lambda: serving.request("GET", report)[0] == 200, what="the report is remembered")
        _publish_sales(bucket)
        until(
            lambda: serving.request("GET", f"/v2/models/{SALES}")[0] == 200,
            what="the forecast answers",
        )
        yield serving


def _publish_sales(bucket: Bucket) -> None:
    """Publish and promote a forecast, whose inputs are words, dates and a history."""
    files = forecasts.files()
    made = forecasts.manifest(1, files).model_copy(update={"model": SALES})
    ours = registry(bucket, SALES)
    ours.publish(made, files, SIGNER)
    ours.decisions.decide(made.version, "approved", Actor("a test", "it is good"))
    promote(alias_log(bucket, SALES), 1)


def test_every_sample_runs_and_prints_a_response(serving, tmp_path):
    # Given curl that fails on error statuses.
    (tmp_path / ".curlrc").write_text("silent\nshow-error\nfail-with-body\n")
    environment = {
        **os.environ,
        "CURL_HOME": str(tmp_path),
        "OVERNIGHT_ADMIN_TOKEN": TOKEN,
        "PYTHONWARNINGS": "error",
    }
    document = serving.request("GET", "/api/openapi.json")[2]
    operations = [
        operation for methods in document["paths"].values() for operation in methods.values()
    ]
    operations.sort(
        key=lambda operation: LATE.index(operation["operationId"]) if _is_late(operation) else -1
    )

    # When every sample is run, then each gets a response.
    run, languages = 0, {}
    for operation in operations:
        for sample in operation["x-codeSamples"]:
            program = {
                "Shell": ["bash", "-o", "pipefail"],
                "Python": [sys.executable, "-"],
                "JavaScript": [NODE, "--input-type=module", "-"],
            }
            done = subprocess.run(
                program[sample["lang"]],
                input=sample["source"].encode(),
                env=environment,
                capture_output=True,
                timeout=60,
                check=False,
            )
            outcome = f"{operation['operationId']} {sample['label']}: {done.stdout} {done.stderr}"
            assert done.returncode == 0, outcome
            assert done.stdout, outcome
            run += 1
            languages.setdefault(operation["operationId"], set()).add(sample["lang"])
    for model in (bundles.MODEL, SALES):
        for name in (f"infer-{model}", f"predict-{model}"):
            assert languages[name] == {"Shell", "Python", "JavaScript"}
    # Operations that always refuse have none.
    assert run > sum(bool(operation["x-codeSamples"]) for operation in operations)


def _is_late(operation: dict) -> bool:
    return operation["operationId"] in LATE
