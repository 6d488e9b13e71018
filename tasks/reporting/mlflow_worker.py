"""The process that logs a run to MLflow: `python -m overnight.tasks.reporting.mlflow_worker`.

It reads a `Request` as JSON on its standard input and prints a `Tracked` as JSON once the run is
there, and another if something fails after that.

MLflow's client gets the credentials in the environment, not in the address, because its error
messages quote the address.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from overnight.store.values import Value

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_Item = TypeVar("_Item")
# MLflow's limits for one request, and for one value.
_METRIC_BATCH, _PARAMETER_BATCH, _TAG_BATCH = 1_000, 100, 100
_LONGEST_PARAMETER, _LONGEST_TAG = 6_000, 5_000
_LONGEST_ERROR = 360


class Point(Value):
    """A metric at a step: an epoch from one, or 0 for what was measured once."""

    name: str
    value: float
    step: int = 0


class Run(Value):
    """A run in MLflow's terms. Logged twice under one `run_id`, it is one run there."""

    experiment: str
    name: str
    run_id: str
    began_at: datetime
    ended_at: datetime
    parameters: dict[str, str]
    points: tuple[Point, ...]
    tags: dict[str, str]
    report: str


class Request(Value):
    """The input of this process; `address` holds no credentials."""

    address: str
    username: str
    password: str
    seconds: float
    run: Run


class Tracked(Value):
    """The run's URL, if it got there, and what went wrong."""

    url: str = ""
    error: str = ""


def main() -> int:
    """Log the run, then its report: if the artifact store fails, everything else is there."""
    request = Request.model_validate_json(sys.stdin.read())
    # The parent kills this process at its time-out; if the parent died, the alarm does.
    signal.alarm(int(request.seconds) + 1)
    url = ""
    try:
        _configure_client(request)
        from mlflow.tracking import MlflowClient  # takes seconds

        client = MlflowClient(tracking_uri=request.address)
        experiment = _experiment(client, request.run.experiment)
        run_id = _log(client, experiment, request.run)
        url = f"{request.address}/#/experiments/{experiment}/runs/{run_id}"
        print(Tracked(url=url).model_dump_json(), flush=True)
        _upload(client, run_id, request.run.report)
    # Any failure becomes the answer: tracking never fails a run.
    except Exception as error:  # noqa: BLE001
        print(Tracked(url=url, error=_describe(error)).model_dump_json(), flush=True)
        return 1
    return 0


def _describe(error: Exception) -> str:
    """An error shortened in its middle: MLflow names the cause last, after the address."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return text if len(text) <= _LONGEST_ERROR else f"{text[:150]} … {text[-200:]}"


def _configure_client(request: Request) -> None:
    """Set credentials and time-outs in the environment, where MLflow's client reads them."""
    if request.username:
        credentials = {"USERNAME": request.username, "PASSWORD": request.password}
        os.environ.update({f"MLFLOW_TRACKING_{name}": value for name, value in credentials.items()})
    os.environ.update(
        MLFLOW_HTTP_REQUEST_TIMEOUT=str(max(1, int(request.seconds))),
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
        MLFLOW_DISABLE_TELEMETRY="true",
    )


def _experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment, which is created if there is none."""
    from mlflow.exceptions import MlflowException

    if (experiment := client.get_experiment_by_name(name)) is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            # A concurrent run created it after the first look-up.
            experiment = client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or experiment is None:
                raise
    return str(experiment.experiment_id)


def _log(client: "MlflowClient", experiment: str, run: Run) -> str:
    """Log all but the report; returns the id of the run in MLflow."""
    from mlflow.entities import Metric, Param, RunTag

    run_id = _find_or_create_run(client, experiment, run)
    ended_ms = _milliseconds(run.ended_at)
    metrics = [Metric(point.name, point.value, ended_ms, point.step) for point in run.points]
    parameters = [Param(n, value[:_LONGEST_PARAMETER]) for n, value in run.parameters.items()]
    tags = [RunTag(name, value[:_LONGEST_TAG]) for name, value in run.tags.items()]
    for params in _chunks(parameters, _PARAMETER_BATCH):
        client.log_batch(run_id, params=params)
    for points in _chunks(metrics, _METRIC_BATCH):
        client.log_batch(run_id, metrics=points)
    for chunk in _chunks(tags, _TAG_BATCH):
        client.log_batch(run_id, tags=chunk)
    client.set_terminated(run_id, "FINISHED", end_time=_milliseconds(run.ended_at))
    return run_id


def _find_or_create_run(client: "MlflowClient", experiment: str, run: Run) -> str:
    """The run that an earlier attempt created, or a new one."""
    same_run = f"tags.`overnight.run` = '{run.run_id}'"
    if runs := client.search_runs([experiment], filter_string=same_run, max_results=1):
        return str(runs[0].info.run_id)
    tags = {"overnight.run": run.run_id}
    began = _milliseconds(run.began_at)
    return str(client.create_run(experiment, began, tags, run_name=run.name).info.run_id)


def _upload(client: "MlflowClient", run_id: str, report: str) -> None:
    with tempfile.TemporaryDirectory(prefix="overnight-report-") as folder:
        path = Path(folder) / "report.html"
        path.write_text(report)
        client.log_artifact(run_id, str(path))


def _chunks(items: Sequence[_Item], most: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, most)):
        yield chunk


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


if __name__ == "__main__":
    sys.exit(main())
