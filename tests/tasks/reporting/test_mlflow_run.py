"""Runs are logged to a real MLflow server; unreachable, slow and broken servers fail no run."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from overnight import models
from overnight.models.metrics.evaluation import Evaluation, Rehearsal
from overnight.store.registry.manifest import CodeLineage, DataLineage, Measurement
from overnight.tasks.reporting.mlflow_run import RunEnd, describe_run, split_credentials, track
from overnight.tasks.reporting.mlflow_worker import Run
from overnight.tasks.reporting.report import RunReport
from overnight.tasks.training.train import FittedRun
from tests.support.mlflow_server import MlflowServer, values
from tests.support.s3_server import free_ports

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
SETTINGS = models.find("digits").settings
AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
LINKS = {"This run": "http://127.0.0.1:4200/v2/runs/1", "Serving": "http://127.0.0.1:8080"}


def report(model: str) -> RunReport:
    """A run whose candidate was refused, with a metric that is no number."""
    measurements = (
        Measurement(metric="accuracy", value=0.91, n=100, low=0.9, high=0.92),
        Measurement(metric="accuracy", value=0.5, n=10, slice="students & others"),
        Measurement(metric="recall", value=float("nan"), n=0),
    )
    rehearsal = Rehearsal(
        n=100, largest_difference=0.0, changed_answers=0, p50_ms=1.5, p99_ms=4.5,
        resident_mb=90.0, size_mb=0.1,
    )  # fmt: skip
    fitted = FittedRun(
        created_at=AT, settings=SETTINGS, history=({"loss": 0.5}, {"loss": 0.25}), files={},
        training_rows=900, validation_rows=100, cpu_seconds=2.0, seconds=1.0,
    )  # fmt: skip
    return RunReport(
        model,
        champion="20261121T020000-0123456789ab",
        data=DataLineage(
            dataset_version=3, digest="d" * 64, rows=1_000, arrivals=2,
            holdout_digest="e" * 64, holdout_rows=100,
        ),
        settings=SETTINGS,
        code=CodeLineage(commit="c" * 40, clean=True, digest="f" * 64),
        fitted=fitted,
        evaluation=Evaluation(measurements, rehearsal=rehearsal),
    )  # fmt: skip


def run(model: str) -> Run:
    ending = RunEnd("of-a-night", "a-night", AT, "Refused", "accuracy is low", LINKS)
    return describe_run(report(model), ending, b"<h1>the report</h1>")


def test_parameters_metrics_tags_and_report_of_a_run_are_logged(
    mlflow_server: MlflowServer,
) -> None:
    tracked = track(run("whole"), uri=mlflow_server.url, seconds=120)

    assert tracked.error == ""
    (logged,) = mlflow_server.runs("overnight/whole")
    assert tracked.url.startswith(f"{mlflow_server.url}/#/experiments/")
    assert tracked.url.endswith(f"/runs/{logged['info']['run_id']}")
    assert (logged["info"]["run_name"], logged["info"]["status"]) == ("a-night", "FINISHED")
    assert logged["info"]["start_time"] == AT.timestamp() * 1_000
    parameters = values(logged["data"]["params"])
    assert parameters["seed"] == str(SETTINGS.seed)
    assert parameters["data.digest"] == "d" * 64
    assert (parameters["code.commit"], parameters["begin"]) == ("c" * 40, "afresh")
    metrics = values(logged["data"]["metrics"])
    assert metrics["holdout/accuracy"] == 0.91
    assert (metrics["holdout/accuracy.low"], metrics["holdout/accuracy.high"]) == (0.9, 0.92)
    assert metrics["holdout/accuracy/students _ others"] == 0.5
    assert metrics["rehearsal/p99_ms"] == 4.5
    assert "holdout/recall" not in metrics
    run_id = logged["info"]["run_id"]
    assert mlflow_server.history(run_id, "epochs/loss") == [(1, 0.5), (2, 0.25)]
    tags = values(logged["data"]["tags"])
    assert (tags["overnight.outcome"], tags["overnight.message"]) == ("Refused", "accuracy is low")
    assert tags["overnight.champion"] == "20261121T020000-0123456789ab"
    assert tags["overnight.link.This run"] == LINKS["This run"]
    assert mlflow_server.artifact(run_id, "report.html") == b"<h1>the report</h1>"


def test_a_run_that_is_logged_twice_is_there_once(mlflow_server: MlflowServer) -> None:
    first = track(run("twice"), uri=mlflow_server.url, seconds=120)
    again = track(run("twice"), uri=mlflow_server.url, seconds=120)

    assert first == again
    assert len(mlflow_server.runs("overnight/twice")) == 1


class Broken(BaseHTTPRequestHandler):
    """Answers 500 to everything, or, when it hangs, nothing."""

    hangs = False
    healed = threading.Event()
    authorizations: list[str]

    def do_GET(self) -> None:
        self.authorizations.append(self.headers.get("Authorization", ""))
        if self.hangs:
            self.healed.wait(60)
            self.close_connection = True
            return
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Silent: its lines would clutter the output of the tests."""


@contextmanager
def broken(*, hangs: bool) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that is out of order, and what it was authorized with."""
    authorizations: list[str] = []
    healed = threading.Event()
    kind = type(
        "_", (Broken,), {"hangs": hangs, "healed": healed, "authorizations": authorizations}
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}", authorizations
        finally:
            healed.set()
            server.shutdown()


def test_an_error_of_the_server_is_reported_without_the_password() -> None:
    with broken(hangs=False) as (address, authorizations):
        tracked = track(run("x"), uri=f"http://ann:s%40fe@{address}/", seconds=120)

    assert "500" in tracked.error
    assert "ann" not in tracked.error
    assert "s%40fe" not in tracked.error
    assert tracked.url == ""
    # ann:s@fe, as HTTP's basic authentication writes it.
    assert set(authorizations) == {"Basic YW5uOnNAZmU="}


def test_a_server_that_hangs_is_given_up_at_the_time_out() -> None:
    with broken(hangs=True) as (address, _):
        tracked = track(run("x"), uri=f"http://ann:s%40fe@{address}", seconds=8)

    assert tracked.error == f"http://{address} did not accept everything within 8 s"


def test_an_unreachable_server_is_reported() -> None:
    (port,) = free_ports(1)

    tracked = track(run("x"), uri=f"http://ann:s%40fe@127.0.0.1:{port}", seconds=120)

    assert "MlflowException" in tracked.error
    assert "refused" in tracked.error
    assert "s%40fe" not in tracked.error


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("https://there.example/mlflow/", ("https://there.example/mlflow", "", "")),
        ("http://ann:b%3Ac@[::1]:5000", ("http://[::1]:5000", "ann", "b:c")),
        ("http://ann@there:5000", ("http://there:5000", "ann", "")),
        ("http://a:b@c:d@there", ("http://there", "a", "b@c:d")),
    ],
)
def test_credentials_are_split_off_the_address(uri: str, parts: tuple[str, str, str]) -> None:
    assert split_credentials(uri) == parts


def test_without_mlflows_client_the_remedy_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As Python marks a module that is not to be found.
    monkeypatch.setitem(sys.modules, "mlflow", None)

    tracked = track(run("x"), uri="http://127.0.0.1:1", seconds=5)

    assert (tracked.url, tracked.error[:23]) == ("", "mlflow is not installed")
    assert "overnight[tracking]" in tracked.error
