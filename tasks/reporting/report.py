"""The report of a pipeline run in Markdown: a Prefect artifact, and as HTML a file of the version.

Pictures are embedded as data URIs, so the report needs neither network nor other files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.printable import figure
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import (
    CodeLineage,
    DataLineage,
    Finding,
    Manifest,
    Override,
    RunLineage,
)
from overnight.store.trust.request_proof import format_actor
from overnight.tasks.data.admission import Ingested
from overnight.tasks.evaluation.explain import Axis
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.evaluation.reproduce import Reproduction
from overnight.tasks.reporting.markdown import Markup, cell, picture, table
from overnight.tasks.reporting.monitor_card import MonitorSection, monitor_sections
from overnight.tasks.reporting.score_table import score_table
from overnight.tasks.training.train import FittedRun
from overnight.tasks.training.trials import Search


@dataclass(frozen=True)
class RunReport:
    """The results of a run so far; each step fills in its own part."""

    model: str
    ingested: Ingested | None = None
    data: DataLineage | None = None
    scores: tuple[Score, ...] = ()
    changes: tuple[Axis, ...] = ()
    settings: TrainingSettings | None = None
    code: CodeLineage | None = None
    data_findings: tuple[Finding, ...] = ()
    champion: str | None = None
    fitted: FittedRun | None = None
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None
    override: Override | None = None
    manifest: Manifest | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)
    confirmation: str = ""
    unwatched: str = ""
    request: RunLineage | None = None
    reproduction: Reproduction | None = None
    search: Search | None = None
    monitored: MonitorSection | None = None
    links: Mapping[str, str] = field(default_factory=dict)


def render(report: RunReport, definition: ModelDefinition, *, headline: str, message: str) -> str:
    """The report in Markdown; parts whose step did not run are left out."""
    parts = [f"# {definition.title}: {headline}", cell(message)]
    if report.request is not None and report.request.reason:
        # Of a run that an alarm started, this is the alarm.
        parts.append(f"Requested {cell(_request(report.request))}")
    parts.append(" · ".join(f"[{name}]({url})" for name, url in report.links.items()))
    parts += monitor_sections(report.monitored) if report.monitored else []
    parts += [_arrival(report.ingested)] if report.ingested else []
    parts += [_data(report.data)] if report.data else []
    parts += [score_table(report.scores)] if report.scores else []
    parts += [_changes(report)] if report.changes else []
    parts += [_gates(report.data_findings, "Data gates")] if report.data_findings else []
    parts += [_fit(report.fitted)] if report.fitted else []
    parts += [picture(title, path.read_bytes()) for title, path in report.pictures.items()]
    parts += [_metrics(each) for each in _evaluations(report.evaluation)]
    parts += [_gates(report.verdict.findings, "Gates")] if report.verdict else []
    parts += [f"**Not watched.** {cell(report.unwatched)}"] if report.unwatched else []
    parts += [_override(report.override)] if report.override else []
    parts += [_lineage(report.manifest)] if report.manifest else []
    parts += [_search(report.search)] if report.search else []
    parts += [_reproduction(report.reproduction)] if report.reproduction else []
    parts += [f"## Replicas\n\n{cell(report.confirmation)}"] if report.confirmation else []
    return "\n\n".join(part for part in parts if part)


def _arrival(ingested: Ingested) -> str:
    skipped = "".join(
        f"\n\n{cell(name)} was ingested or refused before under this name, so it was "
        "skipped. To land it again, change the name of a file."
        for name in ingested.skipped
    )
    notices = "\n".join(f"- {cell(notice)}" for notice in ingested.notices)
    skipped += f"\n\nLeft alone:\n\n{notices}" if notices else ""
    if ingested.source_failure:
        skipped += f"\n\n**The source gave nothing.** {cell(ingested.source_failure)}"
    if not ingested.arrivals:
        return f"## Ingested arrivals\n\nNothing new.{skipped}"
    rows = {
        "arrivals": ", ".join(ingested.arrivals),
        "rows added": f"{ingested.rows_added:,}",
        "duplicates dropped": f"{ingested.duplicates:,}",
        "holdout rows kept out": f"{ingested.kept_out:,}",
    }
    refused = "\n".join(f"- {cell(file.reason)}" for file in ingested.quarantined)
    text = f"\n\nQuarantined:\n\n{refused}" if refused else ""
    refusals = "\n".join(
        f"- {cell(f'{finding.slice}: {finding.message}')}" for finding in ingested.findings
    )
    text += f"\n\nRefused arrivals:\n\n{refusals}" if refusals else ""
    return "## Ingested arrivals\n\n" + table(("", ""), list(rows.items())) + text + skipped


def _data(data: DataLineage) -> str:
    judged_by = f", of {' and '.join(map(cell, data.judged_by))}" if data.judged_by else ""
    return (
        f"Snapshot: version {data.dataset_version} of the dataset, {data.rows:,} rows from "
        f"{data.arrivals} arrivals, `{data.digest[:12]}`; holdout of {data.holdout_rows:,} rows, "
        f"`{data.holdout_digest[:12]}`{judged_by}."
    )


def _changes(report: RunReport) -> str:
    rows = [
        (Markup("**changed**") if axis.changed else "same", axis.name, axis.detail)
        for axis in report.changes
    ]
    return f"## What changed since {report.champion}\n\n" + table(("", "axis", ""), rows)


def _fit(fitted: FittedRun) -> str:
    if fitted.as_it_is:
        return (
            "## Training\n\nNone: the network is served as it is, with the weights that it came "
            f"with. It was exported in {fitted.seconds:.0f} s."
        )
    last = fitted.history[-1] if fitted.history else {}
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
    settings = ", ".join(f"{name} {value}" for name, value in fitted.settings)
    return (
        f"## Training\n\n{len(fitted.history)} epochs in {fitted.seconds:.0f} s "
        f"({fitted.cpu_seconds:.0f} CPU s) on {fitted.training_rows:,} rows, "
        f"{fitted.validation_rows:,} more held out for validation. Last epoch: {metrics}.\n\n"
        f"Settings: {settings}."
    )


def _evaluations(evaluation: Evaluation | None) -> tuple[Evaluation, ...]:
    """On the newest set of the holdout, and on the older one while both judge."""
    return () if evaluation is None else (evaluation, *evaluation.older)


def _metrics(evaluation: Evaluation) -> str:
    champion = f", compared with {evaluation.champion}" if evaluation.champion else ""
    notes = [
        f"The older set {older.holdout} judges as well, until its time is over."
        for older in evaluation.older
    ]
    if evaluation.incomparable:
        notes.append(f"Not compared with {evaluation.champion}: {evaluation.incomparable}.")
    if evaluation.left_out:
        notes.append(
            f"Compared with {evaluation.champion} on the rows that both can answer; "
            f"{evaluation.left_out}."
        )
    rows = []
    for candidate in evaluation.measurements:
        champion_measured = evaluation.champion_measured(candidate.metric, candidate.slice)
        interval = (
            f"{candidate.low:.4f} to {candidate.high:.4f}" if candidate.low is not None else ""
        )
        rows.append(
            (
                candidate.metric,
                candidate.slice or "whole holdout",
                f"{candidate.value:.4f}",
                interval,
                f"{champion_measured.value:.4f}" if champion_measured else "",
                f"{candidate.n:,}",
            )
        )
    header = ("metric", "slice", "candidate", "95 % interval", "champion", "rows")
    title = f"Metrics of {evaluation.holdout}" if evaluation.holdout else "Holdout metrics"
    return "\n\n".join([f"## {title}{champion}", *map(cell, notes), table(header, rows)])


def _gates(findings: tuple[Finding, ...], title: str) -> str:
    rows = [
        (
            _outcome(finding),
            finding.gate,
            f"{finding.metric}{finding.where}",
            "" if finding.value is None else figure(finding.value),
            finding.criterion,
            finding.message,
        )
        for finding in findings
    ]
    header = ("verdict", "gate", "metric", "value", "criterion", "finding")
    return f"## {title}\n\n" + table(header, rows)


def _override(override: Override) -> str:
    gates = "\n".join(f"- {cell(name)}" for name in override.overruled)
    actor = cell(format_actor(override.by, authenticated=override.authenticated))
    return f"**Overridden** by {actor}: {cell(override.reason)}\n\n{gates}"


def _outcome(finding: Finding) -> str:
    if not finding.applicable:
        return "not applicable"
    return "passed" if finding.passed else Markup("**failed**")


def _lineage(manifest: Manifest) -> str:
    clean = "" if manifest.code.clean else ", with uncommitted changes"
    rows = {
        "version": manifest.version,
        "fingerprint": manifest.fingerprint[:16],
        "code": f"{manifest.code.commit[:12] or 'no commit'}{clean}; {manifest.code.digest[:12]}",
        "lock file": manifest.environment.lock_digest[:12],
        "environment": f"Python {manifest.environment.python}, {manifest.environment.platform}",
        "packages": ", ".join(f"{k} {v}" for k, v in manifest.environment.packages.items()),
        "run": f"{manifest.run.name} {manifest.run.id}",
        "requested": _request(manifest.run),
        "overridden": _overridden(manifest.override),
    }
    return "## Lineage\n\n" + table(("", ""), list(rows.items()))


def _overridden(override: Override | None) -> str:
    if override is None:
        return "no"
    actor = format_actor(override.by, authenticated=override.authenticated)
    return f"by {actor}: {override.reason}"


def _request(run: RunLineage) -> str:
    requester = f"by {format_actor(run.by, authenticated=run.authenticated)}" if run.by else ""
    return ": ".join(part for part in (requester, run.why) if part) or "not recorded"


def _search(search: Search) -> str:
    rows = [
        (
            str(trial.number),
            trial.state,
            ", ".join(f"{name} {value:.4g}" for name, value in trial.settings.items()),
            "" if trial.loss is None else f"{trial.loss:.5f}",
        )
        for trial in search.trials
    ]
    trials = table(("trial", "", "settings", "validation loss"), rows)
    return f"## Trials\n\nThe first trial has the current settings.\n\n{trials}"


def _reproduction(reproduction: Reproduction) -> str:
    mismatches = "\n".join(f"- {cell(mismatch)}" for mismatch in reproduction.mismatches)
    parts = [
        "## Reproduction",
        f"What differs from the original run:\n\n{mismatches}" if mismatches else "",
    ]
    if reproduction.identical:
        parts.append("Weights and predictor are identical, bit for bit.")
        return "\n\n".join(part for part in parts if part)
    answers = f"{reproduction.changed_answers:,} of {reproduction.rows:,} answers changed; "
    parts.append(f"{answers}the first output differs by {reproduction.largest:.3g} at most.")
    weights = [
        (weight.name, f"{weight.largest:.3g}", f"{weight.of:,}") for weight in reproduction.weights
    ]
    parts.append(table(("weights", "largest difference", "numbers"), weights))
    metrics = [
        (then.metric, then.slice or "whole holdout", f"{then.value:.6g}", f"{now.value:.6g}")
        for then, now in reproduction.metrics
    ]
    parts.append(table(("metric", "slice", "published", "retrained"), metrics) if metrics else "")
    return "\n\n".join(part for part in parts if part)
