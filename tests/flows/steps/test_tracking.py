"""Retraining runs are logged to a real MLflow server, and do not depend on it."""

import logging

import pytest

from overnight.flows.retrain import retrain
from overnight.store.registry.registry import ModelRegistry
from tests.flows.test_retrain import OVERRIDE, champion, newest_card
from tests.support.faults.fault_proxy import Fault, FaultKind, FaultProxy
from tests.support.flow_environment import FlowEnvironment
from tests.support.mlflow_server import MlflowServer, values
from tests.support.outcomes import ended

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
PASSWORD = "never-to-be-seen"


@pytest.mark.usefixtures("constant_digits")
def test_runs_are_logged_to_mlflow_and_end_in_time_when_it_hangs(
    flow_environment: FlowEnvironment,
    mlflow_server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow_environment.land_digits("few", 0, 1_200)
    caplog.set_level(logging.INFO)
    with FaultProxy(mlflow_server.url) as proxy:
        with_password = proxy.endpoint.replace("//", f"//ann:{PASSWORD}@")
        monkeypatch.setenv("OVERNIGHT_MLFLOW_TRACKING_URI", with_password)
        monkeypatch.setenv("OVERNIGHT_MLFLOW_SECONDS", "120")
        promoted = ended(retrain(epochs=1, return_state=True, **OVERRIDE))
        nothing_new = ended(retrain(epochs=1, ingest_first=False, return_state=True))
        runs = mlflow_server.runs("overnight/digits")

        with proxy.wrong(Fault(FaultKind.HANG)):
            monkeypatch.setenv("OVERNIGHT_MLFLOW_SECONDS", "5")
            flow_environment.land_digits("inverted", 1_200, 1_500, seen=lambda images: 255 - images)
            waits = ended(retrain(epochs=1, return_state=True))

    assert (promoted[0], nothing_new[0], waits[0]) == ("Promoted", "UpToDate", "AwaitingApproval")
    (run,) = runs
    (version,) = ModelRegistry(flow_environment.bucket, "digits").versions()
    tags = values(run["data"]["tags"])
    assert (tags["overnight.outcome"], tags["overnight.version"]) == ("Promoted", version)
    bundle = f"s3://{flow_environment.bucket.address.bucket}/models/digits/versions/{version}"
    assert tags["overnight.link.Bundle"] == bundle
    assert tags["overnight.link.The report of this version"].endswith(f"/{version}/report")
    parameters = values(run["data"]["params"])
    manifest = ModelRegistry(flow_environment.bucket, "digits").manifest(version)
    assert parameters["data.digest"] == manifest.data.digest
    assert parameters["epochs"] == "1"
    metrics = values(run["data"]["metrics"])
    measured = manifest.measured("accuracy")
    assert measured is not None
    assert metrics["holdout/accuracy"] == measured.value
    assert mlflow_server.history(run["info"]["run_id"], "epochs/loss")
    report = mlflow_server.artifact(run["info"]["run_id"], "report.html").decode()
    assert version in report

    assert "did not accept everything within 5 s" in caplog.text
    assert "AwaitingApproval" in newest_card("digits-retrain")
    assert PASSWORD not in caplog.text
    assert champion(flow_environment) == version
