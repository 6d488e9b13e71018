"""What the summary of all models says, read from the store and from Prefect.

Each part that is away leaves a line of its own, and hides nothing of the others.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from overnight import models
from overnight.infra import connections
from overnight.infra.prefect_api import TAG, Document, PrefectApi
from overnight.infra.settings import Settings
from overnight.store.errors import CorruptVersion, OvernightError, UnknownVersion
from overnight.store.objects.s3 import S3Bucket
from overnight.store.registry.live_scores import LiveScores, latest
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.registry.monitoring import LiveQuality, MonitorLog, MonitorRecord
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks import outcomes
from overnight.tasks.data.learned_arrivals import ArrivalVersions, open_reviews
from overnight.tasks.reporting.summary import ModelSummary, Summary

# Of what is reported as missed, undelivered or arrived.
_PERIOD = timedelta(hours=24)
_NEWEST_VERSIONS = 10
_RECORDS = 24
_TIMEOUT_SECONDS = 10
_T = TypeVar("_T")
_ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


def gather(settings: Settings, *, now: datetime | None = None) -> Summary:
    """The summary of every model that is declared or of which anything is stored."""
    now = now or datetime.now(UTC)
    problems: list[str] = []
    bucket = S3Bucket(connections.address(settings), tries=1)
    api = connections.prefect(settings, timeout_seconds=_TIMEOUT_SECONDS)
    summary = Summary(
        at=now,
        zone=settings.summary_time_zone,
        undelivered=_or(problems, lambda: _undelivered(api, now), 0),
    )
    has_prefect = not problems
    of_models = []
    for model in models.names():
        one_model = ModelSummary(model)
        if has_prefect:
            one_model = _or(problems, partial(_with_runs, api, one_model, now), one_model)
        with_store = partial(_with_store, settings, bucket, one_model, now)
        of_models.append(_or(problems, with_store, one_model))
    return replace(summary, models=tuple(of_models), problems=tuple(problems))


def _or(problems: list[str], read: Callable[[], _T], default: _T) -> _T:
    try:
        return read()
    except OvernightError as error:
        if str(error) not in problems:
            problems.append(str(error))
        return default


def _undelivered(api: PrefectApi, now: datetime) -> int:
    criteria = {
        "tags": {"all_": [TAG, "notify"]},
        "state": {"type": {"any_": ["FAILED", "CRASHED"]}},
        "end_time": {"after_": (now - _PERIOD).isoformat()},
    }
    return len(api.filter("/flow_runs", flow_runs=criteria))


def _with_runs(api: PrefectApi, summary: ModelSummary, now: datetime) -> ModelSummary:
    """With the last run that ended, the next one, and the runs that were missed."""

    def runs(state: Document, sort: str, **criteria: object) -> list[Document]:
        tags = {"all_": [TAG, summary.model, "retrain"]}
        filtered = {"tags": tags, "state": state, **criteria}
        return api.filter("/flow_runs", flow_runs=filtered, sort=sort, limit=50)

    ended = runs({"type": {"any_": _ENDED}, "name": {"not_any_": ["Missed"]}}, "END_TIME_DESC")
    due = {"expected_start_time": {"after_": now.isoformat()}}
    coming = runs({"type": {"any_": ["SCHEDULED"]}}, "EXPECTED_START_TIME_ASC", **due)
    since = {"expected_start_time": {"after_": (now - _PERIOD).isoformat()}}
    missed = runs({"name": {"any_": ["Missed", "Late"]}}, "EXPECTED_START_TIME_ASC", **since)
    running = runs({"type": {"any_": ["RUNNING"]}}, "EXPECTED_START_TIME_DESC")
    begun = f"first run {running[0]['name']} is running" if running else "no run yet"
    summary = replace(
        summary,
        outcome=begun,
        next_run=_time(coming[0]["expected_start_time"]) if coming else None,
        missed=len(missed),
    )
    for last in ended[:1]:
        ended_as = outcomes.of_state(last["state"])
        return replace(
            summary,
            outcome=ended_as.outcome,
            is_red=last["state_type"] in {"FAILED", "CRASHED"},
            reason=ended_as.message,
            ended_at=_time(last["end_time"] or last["expected_start_time"]),
        )
    return summary


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _with_store(
    settings: Settings, bucket: S3Bucket, summary: ModelSummary, now: datetime
) -> ModelSummary:
    """With the champion's quality, new rows, what waits for a person, and live quality."""
    model = summary.model
    registry = ModelRegistry(bucket, model, connections.known_trust(settings))
    champion = registry.champion_version()
    manifests = registry.readable_manifests(registry.versions()[-_NEWEST_VERSIONS:])
    newest = list(manifests.values())[-1] if manifests else None
    arrivals, rows = _arrived(settings, model, now) if newest or champion else (0, 0)
    alarms, ended = _alarms(bucket, model, now)
    return replace(
        summary,
        champion=champion or "",
        metric=headline(registry, newest) if newest else "",
        arrivals=arrivals,
        new_rows=rows,
        waiting=_waiting(settings, registry, manifests),
        live=_live(bucket, model, champion),
        alarms=alarms,
        ended=ended,
    )


def headline(registry: ModelRegistry, manifest: Manifest) -> str:
    """The primary metric of a version on its holdout, and its change against the champion's.

    The champion is that which the version was compared with, on the holdout of its own time.
    """
    measured = _first(manifest.measurements)
    if measured is None:
        return ""
    shown = f"{measured.metric} {measured.value:.4f}"
    before = None
    if manifest.compared_with:
        try:
            before = registry.manifest(manifest.compared_with).measured(measured.metric)
        except (UnknownVersion, CorruptVersion):
            before = None
    return shown if before is None else f"{shown} ({measured.value - before.value:+.4f})"


def _first(measurements: Sequence[Measurement]) -> Measurement | None:
    whole = (each for each in measurements if not each.slice and math.isfinite(each.value))
    return next(whole, None)


def _rows(settings: Settings, model: str) -> Any:
    # Slow to import.
    from overnight.store.datasets.delta_table import Dataset

    return Dataset.on_s3(connections.address(settings), model, "rows")


def _arrived(settings: Settings, model: str, now: datetime) -> tuple[int, int | None]:
    """The arrivals of the last day and their rows; None where a commit does not count them."""
    since = (now - _PERIOD).timestamp() * 1_000
    commits = [
        commit
        for commit in _rows(settings, model).arrival_commits().values()
        if float(commit["timestamp"]) >= since
    ]
    counts = [commit.get("operationMetrics", {}).get("num_added_rows") for commit in commits]
    return len(commits), None if None in counts else sum(counts)


def _waiting(
    settings: Settings, registry: ModelRegistry, manifests: dict[str, Manifest]
) -> tuple[str, ...]:
    """The commands that decide about what waits for a person."""

    def arrival_versions() -> ArrivalVersions:
        versions: ArrivalVersions = _rows(settings, registry.model).arrival_versions()
        return versions

    commands = [
        f"overnight approve {registry.model} {version}"
        for version, manifest in manifests.items()
        if manifest.approval == "manual" and registry.decisions.find(version) is None
    ]
    commands += [
        f"overnight accept {registry.model} {review.arrival}"
        for review in open_reviews(registry, arrival_versions)
    ]
    return tuple(commands)


def _live(bucket: S3Bucket, model: str, champion: str | None) -> str:
    """The newest live quality of the champion: by labels of its answers, else by arrivals."""
    record = MonitorLog(bucket, model).last()
    whole = (each for each in record.quality if each.version == champion) if record else ()
    quality = next((each for each in whole if not each.slice), None)
    if quality is not None and (shown := _of_labels(quality)):
        return shown
    score = latest(LiveScores(bucket, model).of_version(champion)) if champion else None
    measured = score.headline if score else None
    if score is None or measured is None:
        return ""
    return f"live {measured.metric} {measured.value:.4f} over the {score.n:,} rows of an arrival"


def _of_labels(quality: LiveQuality) -> str:
    measured = _first(quality.measurements)
    if measured is None:
        return ""
    return (
        f"live {measured.metric} {measured.value:.4f} over {quality.labels:,} labels "
        f"({quality.coverage:.0%} of the answers)"
    )


def _alarms(bucket: S3Bucket, model: str, now: datetime) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The alarms of the newest record, and those of the last day that have ended since."""
    recent = MonitorLog(bucket, model).recent(_RECORDS).records
    newest = recent[0] if recent else None
    of_day = [record for record in recent[1:] if record.at >= now - _PERIOD]
    lines: dict[tuple[str, str, str | None], list[str]] = {}
    # The newest last: of one alarm in several records the last that had it speaks.
    for record in reversed(of_day):
        for alarm in record.alarms:
            seen = f"{alarm.message}, in record {record.sequence}"
            lines[alarm.kind, alarm.feature, record.champion] = [seen, _follows(record)]
    if newest is None:
        return (), ()
    for alarm in newest.alarms:
        # It lasts.
        lines.pop((alarm.kind, alarm.feature, newest.champion), None)
    current = [*(alarm.message for alarm in newest.alarms), _follows(newest)]
    ended = dict.fromkeys(line for pair in lines.values() for line in pair)
    return tuple(current) if newest.alarms else (), tuple(ended)


def _follows(record: MonitorRecord) -> str:
    return f"what follows: {record.consequence.action}: {record.consequence.reason}"
