"""Track: one run told to an MLflow server, where a team already compares its experiments.

What is told is a convenience and never a condition: the server may be away, slow or out of order,
and the run goes on after `seconds` at most. MLflow's client is imported by a process of its own,
so it neither slows this one nor outlives its time.
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
from overnight.tasks.reporting.mlflow_worker import Point, Request, Run, Tracked
from overnight.tasks.reporting.report import RunReport

# What MLflow lets stand in the name of a metric or parameter everywhere; `/` groups its charts.
_OUTSIDE = re.compile(r"[^\w\-. /]+")


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, as its orchestrator knows it; `links` are told by name."""

    run_id: str
    run_name: str
    began_at: datetime
    outcome: str
    message: str
    links: Mapping[str, str]


def describe_run(story: RunReport, ending: RunEnd, report: bytes) -> Run:
    """Everything that is known of a run, in MLflow's terms: parameters, metrics and tags."""
    return Run(
        experiment=f"overnight/{story.model}",
        name=ending.run_name,
        run_id=ending.run_id,
        began_at=ending.began_at,
        ended_at=datetime.now(UTC),
        parameters=_parameters(story),
        points=tuple(_points(story)),
        tags=_tags(story, ending),
        report=report.decode(),
    )


def track(run: Run, *, uri: str, seconds: float) -> Tracked:
    """Tell a run to the server at `uri`, and answer where it is or what went wrong.

    Nothing is raised, and no credentials are in the answer.
    """
    if importlib.util.find_spec("mlflow") is None:
        problem = "mlflow is not installed: install overnight[tracking], or unset the address"
        return Tracked(error=problem)
    address, username, password = split_credentials(uri)
    request = Request(
        address=address, username=username, password=password, seconds=seconds, run=run
    )
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "overnight.tasks.reporting.mlflow_worker"],
            # Over a pipe: arguments and the environment of a process can be read by others.
            input=request.model_dump_json(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as late:
        told = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        problem = f"{address} did not take everything within {seconds:g} s"
        return Tracked(url=_answered(told).url, error=problem)
    except OSError as error:
        return Tracked(error=f"no process could be started for it: {error}")
    answer = _answered(asked.stdout)
    if asked.returncode == 0:
        return answer
    problem = answer.error or _last_words(asked.stderr)
    return answer.model_copy(update={"error": problem})


def split_credentials(uri: str) -> tuple[str, str, str]:
    """An address without credentials, the user's name and the password; both may be empty."""
    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return bare, unquote(parts.username or ""), unquote(parts.password or "")


def _answered(printed: str) -> Tracked:
    """The last answer that was printed whole; a process that was killed may have begun another."""
    for line in reversed(printed.splitlines()):
        try:
            return Tracked.model_validate_json(line)
        except ValidationError:
            continue
    return Tracked()


def _last_words(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "its process ended without a word"


def _parameters(story: RunReport) -> dict[str, str]:
    """What could change the outcome: settings and seed, the data, the code, where it began."""
    found: dict[str, object] = {}
    if story.settings is not None:
        found |= story.settings.model_dump(mode="json")
    if story.fitted is not None:
        found["begin"] = story.fitted.continued_from or "afresh"
    if story.data is not None:
        found["data.digest"] = story.data.digest
        found["data.version"] = story.data.dataset_version
        found["data.rows"] = story.data.rows
        found["holdout.digest"] = story.data.holdout_digest
    if story.code is not None:
        found["code.commit"] = story.code.commit or "none"
        found["code.clean"] = story.code.clean
        found["code.digest"] = story.code.digest
    return {_named(name): str(value) for name, value in found.items()}


def _tags(story: RunReport, ending: RunEnd) -> dict[str, str]:
    tags = {"outcome": ending.outcome, "message": ending.message, "run": ending.run_id}
    version = story.manifest.version if story.manifest else ""
    tags |= {"version": version, "champion": story.champion or ""}
    tags |= {f"link.{name}": url for name, url in ending.links.items()}
    note = " · ".join(f"[{name}]({url})" for name, url in ending.links.items())
    shown = {"mlflow.note.content": f"**{ending.outcome}**: {ending.message}\n\n{note}"}
    if story.code is not None and story.code.commit:
        shown["mlflow.source.git.commit"] = story.code.commit
    return {f"overnight.{_named(n)}": value for n, value in tags.items() if value} | shown


def _points(story: RunReport) -> Iterator[Point]:
    """Every number that is one: MLflow draws none that is not finite."""
    for point in _all_points(story):
        if math.isfinite(point.value):
            yield point


def _all_points(story: RunReport) -> Iterator[Point]:
    if story.fitted is not None:
        for epoch, metrics in enumerate(story.fitted.history, start=1):
            for name, value in metrics.items():
                yield Point(name=_named(f"epochs/{name}"), value=value, step=epoch)
        yield Point(name="fit/seconds", value=story.fitted.seconds)
        yield Point(name="fit/cpu_seconds", value=story.fitted.cpu_seconds)
        yield Point(name="fit/training_rows", value=story.fitted.training_rows)
    if story.evaluation is not None:
        yield from _measured(story.evaluation.measurements)
        yield from _rehearsed(story.evaluation.rehearsal)
    elif story.manifest is not None:
        yield from _measured(story.manifest.measurements)
        yield from _rehearsed(story.manifest.rehearsed)


def _measured(measurements: tuple[Measurement, ...]) -> Iterator[Point]:
    for one in measurements:
        name = _named(f"holdout/{one.metric}" + (f"/{one.slice}" if one.slice else ""))
        yield Point(name=name, value=one.value)
        if one.low is not None and one.high is not None:
            yield Point(name=f"{name}.low", value=one.low)
            yield Point(name=f"{name}.high", value=one.high)


def _rehearsed(found: Rehearsal | Rehearsed | None) -> Iterator[Point]:
    if found is not None:
        yield Point(name="rehearsal/p50_ms", value=found.p50_ms)
        yield Point(name="rehearsal/p99_ms", value=found.p99_ms)
        yield Point(name="rehearsal/resident_mb", value=found.resident_mb)
        yield Point(name="rehearsal/changed_answers", value=found.changed_answers)


def _named(name: str) -> str:
    return _OUTSIDE.sub("_", name)[:250]
