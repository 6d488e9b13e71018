"""The card of a run: what a person wants to know in the morning, as Markdown and as one HTML page.

Pictures are inside as data URIs, so the card needs no network and nothing beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import (
    CodeLineage,
    DataLineage,
    Finding,
    Manifest,
    Override,
    RunLineage,
)
from overnight.store.trust.request_proof import said_by
from overnight.tasks.data.ingest import Ingested
from overnight.tasks.evaluation.explain import Axis
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.evaluation.reproduce import Reproduction
from overnight.tasks.reporting.markdown import cell, picture, table
from overnight.tasks.reporting.score_table import score_table
from overnight.tasks.training.train import FittedRun
from overnight.tasks.training.trials import Search


@dataclass(frozen=True)
class RunReport:
    """What is known of a run so far; every part appears once its step is done."""

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
    reproduction: Reproduction | None = None
    search: Search | None = None
    links: Mapping[str, str] = field(default_factory=dict)


def render(story: RunReport, definition: ModelDefinition, *, headline: str, message: str) -> str:
    """The whole story in Markdown, only what there is to tell."""
    parts = [f"# {definition.title}: {headline}", message]
    parts += [_links(story.links)] if story.links else []
    parts += [_arrival(story.ingested)] if story.ingested else []
    parts += [_data(story.data)] if story.data else []
    parts += [score_table(story.scores)] if story.scores else []
    parts += [_changes(story)] if story.changes else []
    parts += [_gates(story.data_findings, "Data gates")] if story.data_findings else []
    parts += [_fit(story.fitted)] if story.fitted else []
    parts += [picture(title, path.read_bytes()) for title, path in story.pictures.items()]
    parts += [_metrics(story.evaluation)] if story.evaluation else []
    parts += [_gates(story.verdict.findings, "Gates")] if story.verdict else []
    parts += [_overruled(story.override)] if story.override else []
    parts += [_lineage(story.manifest)] if story.manifest else []
    parts += [_search(story.search)] if story.search else []
    parts += [_reproduction(story.reproduction)] if story.reproduction else []
    parts += [f"## Replicas\n\n{story.confirmation}"] if story.confirmation else []
    return "\n\n".join(part for part in parts if part)


def _arrival(ingested: Ingested) -> str:
    again = "".join(
        f"\n\n{cell(name)} was taken in or refused before under this name: nothing of it was "
        "taken now. To land it again, change the name of a file."
        for name in ingested.skipped
    )
    if not ingested.arrivals:
        return f"## What came in\n\nNothing new.{again}"
    rows = {
        "arrivals": ", ".join(ingested.arrivals),
        "rows added": f"{ingested.rows_added:,}",
        "duplicates dropped": f"{ingested.duplicates:,}",
        "holdout rows kept out": f"{ingested.kept_out:,}",
    }
    refused = "\n".join(f"- {cell(bad.reason)}" for bad in ingested.quarantined)
    told = f"\n\nQuarantined:\n\n{refused}" if refused else ""
    against = "\n".join(f"- {cell(f'{one.slice}: {one.message}')}" for one in ingested.findings)
    told += f"\n\nNothing was taken from:\n\n{against}" if against else ""
    return "## What came in\n\n" + table(("", ""), list(rows.items())) + told + again


def _data(data: DataLineage) -> str:
    return (
        f"Snapshot: version {data.dataset_version} of the dataset, {data.rows:,} rows from "
        f"{data.arrivals} arrivals, `{data.digest[:12]}`; holdout of {data.holdout_rows:,} rows, "
        f"`{data.holdout_digest[:12]}`."
    )


def _changes(story: RunReport) -> str:
    rows = [
        ("**changed**" if axis.changed else "same", axis.name, axis.detail)
        for axis in story.changes
    ]
    return f"## What changed since {story.champion}\n\n" + table(("", "axis", ""), rows)


def _fit(fitted: FittedRun) -> str:
    last = fitted.history[-1] if fitted.history else {}
    told = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
    settings = ", ".join(f"{name} {value}" for name, value in fitted.settings)
    return (
        f"## How it learned\n\n{len(fitted.history)} epochs in {fitted.seconds:.0f} s "
        f"({fitted.cpu_seconds:.0f} CPU s) on {fitted.training_rows:,} rows, "
        f"{fitted.validation_rows:,} more held out for validation. Last epoch: {told}.\n\n"
        f"Settings: {settings}."
    )


def _metrics(evaluation: Evaluation) -> str:
    against = f" against {evaluation.champion}" if evaluation.champion else ""
    rows = []
    for mine in evaluation.measurements:
        theirs = evaluation.champion_measured(mine.metric, mine.slice)
        interval = f"{mine.low:.4f} to {mine.high:.4f}" if mine.low is not None else ""
        rows.append(
            (
                mine.metric,
                mine.slice or "whole holdout",
                f"{mine.value:.4f}",
                interval,
                f"{theirs.value:.4f}" if theirs else "",
                f"{mine.n:,}",
            )
        )
    header = ("metric", "slice", "candidate", "95 % interval", "champion", "rows")
    return f"## On the holdout{against}\n\n" + table(header, rows)


def _gates(findings: tuple[Finding, ...], title: str) -> str:
    rows = [
        (
            _said(finding),
            finding.gate,
            f"{finding.metric} {f'on {finding.slice}' if finding.slice else ''}",
            "" if finding.value is None else f"{finding.value:.4g}",
            "" if finding.bound is None else f"{finding.bound:.4g}",
            finding.message,
        )
        for finding in findings
    ]
    return f"## {title}\n\n" + table(("verdict", "gate", "of", "value", "bound", "finding"), rows)


def _overruled(word: Override) -> str:
    gates = "\n".join(f"- {cell(name)}" for name in word.overruled)
    by = cell(said_by(word.by, proved=word.proved))
    return f"**Overruled** by {by}: {cell(word.reason)}\n\n{gates}"


def _said(finding: Finding) -> str:
    if not finding.applicable:
        return "not applicable"
    return "holds" if finding.passed else "**refuses**"


def _lineage(manifest: Manifest) -> str:
    clean = "" if manifest.code.clean else ", with changes that are not committed"
    rows = {
        "version": manifest.version,
        "fingerprint": manifest.fingerprint[:16],
        "code": f"{manifest.code.commit[:12] or 'no commit'}{clean}; {manifest.code.digest[:12]}",
        "lock file": manifest.environment.lock_digest[:12],
        "environment": f"Python {manifest.environment.python}, {manifest.environment.platform}",
        "packages": ", ".join(f"{k} {v}" for k, v in manifest.environment.packages.items()),
        "run": f"{manifest.run.name} {manifest.run.id}",
        "asked for": _asked(manifest.run),
        "overridden": f"by {said_by(manifest.override.by, proved=manifest.override.proved)}: "
        f"{manifest.override.reason}"
        if manifest.override
        else "no",
    }
    return "## Where it comes from\n\n" + table(("", ""), list(rows.items()))


def _asked(run: RunLineage) -> str:
    by = f"by {said_by(run.by, proved=run.proved)}" if run.by else ""
    return ": ".join(part for part in (by, run.why) if part) or "not recorded"


def _search(found: Search) -> str:
    rows = [
        (
            str(one.number),
            one.state,
            ", ".join(f"{name} {value:.4g}" for name, value in one.settings.items()),
            "" if one.loss is None else f"{one.loss:.5f}",
        )
        for one in found.trials
    ]
    told = table(("trial", "", "settings", "validation loss"), rows)
    return f"## Trials\n\nThe first has the settings that held before.\n\n{told}"


def _reproduction(found: Reproduction) -> str:
    aside = "\n".join(f"- {cell(mismatch)}" for mismatch in found.mismatches)
    parts = ["## Trained again", f"What is not as it was:\n\n{aside}" if aside else ""]
    if found.identical:
        parts.append("Every weight is the same, bit for bit.")
        return "\n\n".join(part for part in parts if part)
    told = f"{found.changed_answers:,} of {found.rows:,} answers changed; "
    parts.append(f"{told}the first output differs by {found.largest:.3g} at most.")
    weights = [(one.name, f"{one.largest:.3g}", f"{one.of:,}") for one in found.weights]
    parts.append(table(("weights", "largest difference", "numbers"), weights))
    metrics = [
        (then.metric, then.slice or "whole holdout", f"{then.value:.6g}", f"{now.value:.6g}")
        for then, now in found.metrics
    ]
    parts.append(table(("metric", "slice", "then", "now"), metrics) if metrics else "")
    return "\n\n".join(part for part in parts if part)


def _links(links: Mapping[str, str]) -> str:
    return " · ".join(f"[{name}]({url})" for name, url in links.items())
