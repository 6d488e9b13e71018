"""The report of a pipeline run in Markdown: a Prefect artifact, and as HTML a file of the version.

Pictures are embedded as data URIs, so the report needs neither network nor other files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.printable import decimals, figure
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
from overnight.tasks.outcomes import TO_DO
from overnight.tasks.reporting.markdown import Markup, cell, fold, picture, table
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
    """The report in Markdown: outcome, quality, what changed, what to do; pictures; then details.

    Parts whose step did not run are left out. The details are folded.
    """
    parts = [f"# {definition.title}: {headline}", cell(message), *_first(report, headline)]
    parts.append(" · ".join(f"[{name}]({url})" for name, url in report.links.items()))
    parts += monitor_sections(report.monitored) if report.monitored else []
    if report.verdict is not None and report.verdict.refused:
        parts.append(_gates(report.verdict.refused, "Gates that failed"))
    if failed := tuple(each for each in report.data_findings if not each.passed):
        parts.append(_gates(failed, "Data gates that failed"))
    parts += [_override(report.override)] if report.override else []
    parts += [f"**Not watched.** {cell(report.unwatched)}"] if report.unwatched else []
    parts += [picture(title, path.read_bytes()) for title, path in report.pictures.items()]
    parts += [_search(report.search)] if report.search else []
    parts += [_reproduction(report.reproduction)] if report.reproduction else []
    return "\n\n".join(part for part in (*parts, *_details(report)) if part)


def _first(report: RunReport, headline: str) -> Iterator[str]:
    """What a person reads first: quality, what changed, what to do, who requested it."""
    if quality := quality_line(report):
        yield quality
    if report.changes:
        changed = [f"{axis.name} ({axis.detail})" for axis in report.changes if axis.changed]
        since = f"Changed since {report.champion}: "
        yield cell(since + ("; ".join(changed) or "nothing"))
    if to_do := TO_DO.get(headline):
        yield f"**To do.** {cell(to_do)}"
    if report.request is not None and report.request.reason:
        # Of a run that an alarm started, this is the alarm.
        yield f"Requested {cell(_request(report.request))}"


def quality_line(report: RunReport) -> str:
    """The primary metric of the candidate against the champion; empty where nothing was measured.

    For example `**accuracy 0.9948**, champion 0.9940 (+0.0008), 95 % interval 0.993 to 0.996`.
    """
    evaluation = report.evaluation
    of_manifest = report.manifest.measurements if report.manifest else ()
    measured = evaluation.measurements if evaluation else of_manifest
    first = next((each for each in measured if not each.slice and isfinite(each.value)), None)
    if first is None:
        return ""
    line = f"**{cell(first.metric)} {figure(first.value)}** on {first.n:,} holdout rows"
    before = evaluation.champion_measured(first.metric) if evaluation else None
    if before is not None:
        line += f"; champion {figure(before.value)}, change {first.value - before.value:+.4f}"
    if first.low is not None and first.high is not None:
        line += f"; 95 % interval {figure(first.low)} to {figure(first.high)}"
    return line


def _details(report: RunReport) -> Iterator[str]:
    """All tables, folded, each below a line that says what is in it."""
    if report.verdict:
        yield fold(f"Gates: {counts(report.verdict.findings)}", _gates(report.verdict.findings))
    for each in _evaluations(report.evaluation):
        yield fold(_metrics_title(each), _metrics(each))
    if report.fitted:
        yield fold("Training", _fit(report.fitted))
    if report.ingested:
        rows = f"{report.ingested.rows_added:,} rows added"
        yield fold(f"New data: {rows}", _arrival(report.ingested))
    yield from _details_of_data(report)
    if report.manifest:
        yield fold("Lineage", _lineage(report.manifest))
    if report.confirmation:
        yield fold("Replicas", cell(report.confirmation))


def _details_of_data(report: RunReport) -> Iterator[str]:
    if report.data_findings:
        data_gates = _gates(report.data_findings)
        yield fold(f"Data gates: {counts(report.data_findings)}", data_gates)
    if report.data:
        yield fold("Snapshot", _data(report.data))
    if scores := score_table(report.scores):
        yield fold("Live scores of the champion", scores)
    if report.changes:
        yield fold(f"What changed since {report.champion}", _changes(report))


def counts(findings: Sequence[Finding]) -> str:
    """How many gates passed, failed and were not applicable."""
    failed = sum(not finding.passed for finding in findings)
    idle = sum(finding.passed and not finding.applicable for finding in findings)
    parts = [f"{len(findings) - failed - idle} passed"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{idle} not applicable"] if idle else []
    return ", ".join(parts)


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
        return f"Ingested arrivals: none, nothing is new.{skipped}"
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
    return "Ingested arrivals:\n\n" + table(("", ""), list(rows.items())) + text + skipped


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
    return table(("", "axis", ""), rows)


def _fit(fitted: FittedRun) -> str:
    if fitted.as_it_is:
        return (
            "None: the network is served as it is, with the weights that it came "
            f"with. It was exported in {fitted.seconds:.0f} s."
        )
    last = fitted.history[-1] if fitted.history else {}
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
    settings = ", ".join(f"{name} {value}" for name, value in fitted.settings)
    return (
        f"{len(fitted.history)} epochs in {fitted.seconds:.0f} s "
        f"({fitted.cpu_seconds:.0f} CPU s) on {fitted.training_rows:,} rows, "
        f"{fitted.validation_rows:,} more held out for validation. Last epoch: {metrics}.\n\n"
        f"Settings: {settings}."
    )


def _evaluations(evaluation: Evaluation | None) -> tuple[Evaluation, ...]:
    """On the newest set of the holdout, and on the older one while both judge."""
    return () if evaluation is None else (evaluation, *evaluation.older)


def _metrics(evaluation: Evaluation) -> str:
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
            f"{decimals(candidate.low)} to {decimals(candidate.high)}"
            if candidate.low is not None and candidate.high is not None
            else ""
        )
        rows.append(
            (
                candidate.metric,
                candidate.slice or "whole holdout",
                decimals(candidate.value),
                interval,
                decimals(champion_measured.value) if champion_measured else "",
                f"{candidate.n:,}",
            )
        )
    header = ("metric", "slice", "candidate", "95 % interval", "champion", "rows")
    return "\n\n".join([*map(cell, notes), table(header, rows)])


def _metrics_title(evaluation: Evaluation) -> str:
    champion = f", compared with {evaluation.champion}" if evaluation.champion else ""
    of = f"Metrics of {evaluation.holdout}" if evaluation.holdout else "Holdout metrics"
    return f"{of}{champion}"


def _gates(findings: Sequence[Finding], title: str = "") -> str:
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
    return (f"## {title}\n\n" if title else "") + table(header, rows)


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
    return table(("", ""), list(rows.items()))


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
