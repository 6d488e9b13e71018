"""Reports a run to MLflow, in a process of its own.

`python -m overnight.tasks.reporting.mlflow_worker` reads a request as JSON on its standard input.
It prints where the run is, and once more what did not go well.

Credentials reach MLflow's client apart from the address, so no message of its can show them.
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
# MLflow takes so many in one request.
_METRICS, _PARAMETERS, _TAGS = 1_000, 100, 100
_LONGEST_PARAMETER, _LONGEST_TAG = 6_000, 5_000
_LONGEST_TROUBLE = 360


class Point(Value):
    """A metric at a step: an epoch from one, or 0 for what was measured once."""

    name: str
    value: float
    step: int = 0


class Run(Value):
    """A run as MLflow keeps it. Told again under the same `run_id`, it is the same run there."""

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
    """What the process that asks the server is given; the address has no credentials in it."""

    address: str
    username: str
    password: str
    seconds: float
    run: Run


class Tracked(Value):
    """Where the run is to be seen, if it got there, and what did not go well."""

    url: str = ""
    error: str = ""


def main() -> int:
    """Tell the run, then its report: should the report not be taken, the rest is there."""
    request = Request.model_validate_json(sys.stdin.read())
    # Should whoever started this be gone, it ends in time all the same.
    signal.alarm(int(request.seconds) + 1)
    url = ""
    try:
        _prepare(request)
        from mlflow.tracking import MlflowClient  # seconds, and only when it is wanted

        client = MlflowClient(tracking_uri=request.address)
        experiment = _experiment(client, request.run.experiment)
        there = _told(client, experiment, request.run)
        url = f"{request.address}/#/experiments/{experiment}/runs/{there}"
        print(Tracked(url=url).model_dump_json(), flush=True)
        _upload(client, there, request.run.report)
    # Whatever it is, it is told to the run and ends there.
    except Exception as error:  # noqa: BLE001
        print(Tracked(url=url, error=_worded(error)).model_dump_json(), flush=True)
        return 1
    return 0


def _worded(error: Exception) -> str:
    """How it begins and how it ends: the cause is told last, after addresses told twice."""
    told = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return told if len(told) <= _LONGEST_TROUBLE else f"{told[:150]} … {told[-200:]}"


def _prepare(request: Request) -> None:
    """Tell MLflow's client who we are and how patient; whatever else it reads there stays."""
    if request.username:
        who = {"USERNAME": request.username, "PASSWORD": request.password}
        os.environ.update({f"MLFLOW_TRACKING_{name}": value for name, value in who.items()})
    os.environ.update(
        MLFLOW_HTTP_REQUEST_TIMEOUT=str(max(1, int(request.seconds))),
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
        MLFLOW_DISABLE_TELEMETRY="true",
    )


def _experiment(client: "MlflowClient", name: str) -> str:
    """The experiment's id, whoever makes it."""
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            # Another run of tonight made it at the same moment.
            found = client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                raise
    return str(found.experiment_id)


def _told(client: "MlflowClient", experiment: str, run: Run) -> str:
    """Tell all but the report, and answer the run's id there."""
    from mlflow.entities import Metric, Param, RunTag

    there = _begun(client, experiment, run)
    at = _milliseconds(run.ended_at)
    metrics = [Metric(one.name, one.value, at, one.step) for one in run.points]
    parameters = [Param(n, value[:_LONGEST_PARAMETER]) for n, value in run.parameters.items()]
    tags = [RunTag(name, value[:_LONGEST_TAG]) for name, value in run.tags.items()]
    for some in _parts(parameters, _PARAMETERS):
        client.log_batch(there, params=some)
    for measured in _parts(metrics, _METRICS):
        client.log_batch(there, metrics=measured)
    for told in _parts(tags, _TAGS):
        client.log_batch(there, tags=told)
    client.set_terminated(there, "FINISHED", end_time=_milliseconds(run.ended_at))
    return there


def _begun(client: "MlflowClient", experiment: str, run: Run) -> str:
    """The run that an earlier try of the same began, or a new one."""
    same = f"tags.`overnight.run` = '{run.run_id}'"
    if found := client.search_runs([experiment], filter_string=same, max_results=1):
        return str(found[0].info.run_id)
    tags = {"overnight.run": run.run_id}
    began = _milliseconds(run.began_at)
    return str(client.create_run(experiment, began, tags, run_name=run.name).info.run_id)


def _upload(client: "MlflowClient", there: str, report: str) -> None:
    with tempfile.TemporaryDirectory(prefix="overnight-report-") as folder:
        page = Path(folder) / "report.html"
        page.write_text(report)
        client.log_artifact(there, str(page))


def _parts(items: Sequence[_Item], most: int) -> Iterator[list[_Item]]:
    left = iter(items)
    while some := list(islice(left, most)):
        yield some


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


if __name__ == "__main__":
    sys.exit(main())
