"""Logs a pipeline run to an MLflow server.

Tracking is optional: a server that is unreachable, slow or broken never fails the run, which goes
on after `seconds` at most. MLflow's client runs in a process of its own, so its import does not
slow this one and it can be killed at its time-out.
"""

import importlib.util
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from overnight.models.metrics.evaluation import Rehearsal
from overnight.store.registry.manifest import Measurement, Rehearsed
from overnight.tasks import child_process
from overnight.tasks.reporting.mlflow_worker import Point, Request, Run, Tracked
from overnight.tasks.reporting.report import RunReport

# Everything but the characters that MLflow accepts in names on all of its file systems and
# databases; `/` groups its charts.
_NOT_ALLOWED = re.compile(r"[^\w\-. /]+")


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, as Prefect reports it; `links` are URLs by their titles."""

    run_id: str
    run_name: str
    began_at: datetime
    outcome: str
    message: str
    links: Mapping[str, str]


def describe_run(report: RunReport, run_end: RunEnd, page: bytes) -> Run:
    """The run as MLflow's parameters, metrics and tags; `page` is its report as HTML."""
    return Run(
        experiment=f"overnight/{report.model}",
        name=run_end.run_name,
        run_id=run_end.run_id,
        began_at=run_end.began_at,
        ended_at=datetime.now(UTC),
        parameters=_parameters(report),
        # MLflow cannot draw what is not finite.
        points=tuple(point for point in _points(report) if math.isfinite(point.value)),
        tags=_tags(report, run_end),
        report=page.decode(),
    )


def track(run: Run, *, uri: str, seconds: float) -> Tracked:
    """Log a run to the server at `uri`; returns its URL there, or what went wrong.

    Raises nothing, and returns no credentials.
    """
    if importlib.util.find_spec("mlflow") is None:
        return Tracked(
            error="mlflow is not installed: install overnight[tracking], or unset "
            "OVERNIGHT_MLFLOW_TRACKING_URI"
        )
    address, username, password = split_credentials(uri)
    request = Request(
        address=address, username=username, password=password, seconds=seconds, run=run
    )
    try:
        process = child_process.capture(
            [sys.executable, "-m", "overnight.tasks.reporting.mlflow_worker"],
            # Over a pipe, because other users can read the arguments and environment of a process.
            text=request.model_dump_json(),
            seconds=seconds,
        )
    except subprocess.TimeoutExpired as late:
        # The URL may have been printed before.
        printed = (late.stdout or b"").decode(errors="replace")
        problem = f"{address} did not accept everything within {seconds:g} s"
        return Tracked(url=_last_answer(printed).url, error=problem)
    except OSError as error:
        return Tracked(error=f"the MLflow process could not be started: {error}")
    answer = _last_answer(process.stdout)
    if process.returncode == 0:
        return answer
    problem = answer.error or _last_line(process.stderr)
    return answer.model_copy(update={"error": problem})


def split_credentials(uri: str) -> tuple[str, str, str]:
    """The address without credentials, the user name and the password; both may be empty."""
    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return bare, unquote(parts.username or ""), unquote(parts.password or "")


def _last_answer(printed: str) -> Tracked:
    """The last complete answer: a killed process may have printed half of another."""
    for line in reversed(printed.splitlines()):
        try:
            return Tracked.model_validate_json(line)
        except ValidationError:
            continue
    return Tracked()


def _last_line(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "the MLflow process ended without an error message"


def _parameters(report: RunReport) -> dict[str, str]:
    """What determines the outcome: settings and seed, data, code, and the start of the fit."""
    parameters: dict[str, object] = {}
    if report.settings is not None:
        parameters |= report.settings.model_dump(mode="json")
    if report.fitted is not None:
        parameters["begin"] = report.fitted.continued_from or "afresh"
    if report.data is not None:
        parameters["data.digest"] = report.data.digest
        parameters["data.version"] = report.data.dataset_version
        parameters["data.rows"] = report.data.rows
        parameters["holdout.digest"] = report.data.holdout_digest
    if report.code is not None:
        parameters["code.commit"] = report.code.commit or "none"
        parameters["code.clean"] = report.code.clean
        parameters["code.digest"] = report.code.digest
    return {_mlflow_name(name): str(value) for name, value in parameters.items()}


def _tags(report: RunReport, run_end: RunEnd) -> dict[str, str]:
    tags = {"outcome": run_end.outcome, "message": run_end.message, "run": run_end.run_id}
    version = report.manifest.version if report.manifest else ""
    tags |= {"version": version, "champion": report.champion or ""}
    tags |= {f"link.{name}": url for name, url in run_end.links.items()}
    links = " · ".join(f"[{name}]({url})" for name, url in run_end.links.items())
    mlflow_tags = {"mlflow.note.content": f"**{run_end.outcome}**: {run_end.message}\n\n{links}"}
    if report.code is not None and report.code.commit:
        mlflow_tags["mlflow.source.git.commit"] = report.code.commit
    return {
        f"overnight.{_mlflow_name(n)}": value for n, value in tags.items() if value
    } | mlflow_tags


def _points(report: RunReport) -> Iterator[Point]:
    if report.fitted is not None:
        for epoch, metrics in enumerate(report.fitted.history, start=1):
            for name, value in metrics.items():
                yield Point(name=_mlflow_name(f"epochs/{name}"), value=value, step=epoch)
        yield Point(name="fit/seconds", value=report.fitted.seconds)
        yield Point(name="fit/cpu_seconds", value=report.fitted.cpu_seconds)
        yield Point(name="fit/training_rows", value=report.fitted.training_rows)
    if report.evaluation is not None:
        yield from _measurement_points(report.evaluation.measurements)
        yield from _rehearsal_points(report.evaluation.rehearsal)
    elif report.manifest is not None:
        yield from _measurement_points(report.manifest.measurements)
        yield from _rehearsal_points(report.manifest.rehearsed)


def _measurement_points(measurements: tuple[Measurement, ...]) -> Iterator[Point]:
    for measurement in measurements:
        name = _mlflow_name(
            f"holdout/{measurement.metric}" + (f"/{measurement.slice}" if measurement.slice else "")
        )
        yield Point(name=name, value=measurement.value)
        if measurement.low is not None and measurement.high is not None:
            yield Point(name=f"{name}.low", value=measurement.low)
            yield Point(name=f"{name}.high", value=measurement.high)


def _rehearsal_points(rehearsal: Rehearsal | Rehearsed | None) -> Iterator[Point]:
    if rehearsal is not None:
        for name in ("p50_ms", "p99_ms", "resident_mb", "changed_answers"):
            yield Point(name=f"rehearsal/{name}", value=getattr(rehearsal, name))


def _mlflow_name(name: str) -> str:
    # MLflow's limit for names is 250.
    return _NOT_ALLOWED.sub("_", name)[:250]
