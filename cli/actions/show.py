"""`overnight show`: the card of one version."""

import json

from rich.console import Console
from rich.table import Table

from overnight.cli.actions import live_scores
from overnight.cli.terminal import format_time, new_table, open_console
from overnight.cli.version_names import resolve
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import load
from overnight.store.errors import NothingPublished
from overnight.store.objects.bucket import Bucket
from overnight.store.printable import figure
from overnight.store.registry.manifest import Finding, Manifest, Measurement
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.store.trust.request_proof import format_actor
from overnight.store.trust.trusted_keys import Trust
from overnight.tasks.evaluation.judge import Verdict

# From this width on the messages of gates have a column.
_WIDE = 120


def run(model: str, version: str, *, as_json: bool) -> None:
    """Print the card of a version, or of the champion.

    Raises:
        UnknownModel: no model is called so. NothingPublished: the model has no champion.
        UnknownVersion, AmbiguousVersion: no version begins so, or several do.
    """
    settings = load()
    bucket, trust = connections.bucket(settings), connections.known_trust(settings)
    document, manifest = gather(bucket, model, resolve(bucket, model, version), trust=trust)
    if "report.html" in manifest.files:
        path = f"api/models/{model}/versions/{manifest.version}/report"
        document["report"] = f"{settings.answers_url}/{path}"
    show(document, manifest, as_json=as_json)


def show(document: Document, manifest: Manifest, *, as_json: bool) -> None:
    """Print the card, as JSON or as tables."""
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        _print(document, manifest, open_console())


def gather(
    bucket: Bucket, model: str, version: str, *, trust: Trust | None = None
) -> tuple[Document, Manifest]:
    """The manifest, decision, signers, alias history and live scores of a version."""
    registry = ModelRegistry(bucket, model, trust)
    # Read once: a promotion between two reads would make the card contradict itself.
    history = registry.champion.history()
    if version == "champion":
        if not history:
            raise NothingPublished(model, Registry(bucket).models())
        version = history[-1].version
    manifest = registry.manifest(version)
    decision = registry.decisions.find(version)
    collected = registry.tombstones.find(version)
    # The record that replaced the version shows until when it was champion.
    records = [record for record in history if version in {record.version, record.previous}]
    document = {
        "manifest": manifest.model_dump(mode="json"),
        "decision": decision.model_dump(mode="json") if decision else None,
        "signers": registry.signers(version),
        "collected": collected.model_dump(mode="json") if collected else None,
        "champion": bool(history) and history[-1].version == version,
        "history": [record.model_dump(mode="json") for record in records],
        "live": live_scores.gather(bucket, model, version),
    }
    return document, manifest


def _print(document: Document, manifest: Manifest, console: Console) -> None:
    champion = " (champion)" if document["champion"] else ""
    console.print(f"{manifest.model} {manifest.version}{champion}", style="bold")
    if "report" in document:
        # Unwrapped, so that it can be copied or followed.
        console.print(f"report: {document['report']}", soft_wrap=True)
    if tombstone := document["collected"]:
        console.print(f"files deleted on {tombstone['at'][:10]} by {tombstone['by']}")
    console.print(_lineage(manifest, document["decision"], document["signers"]))
    console.print(_measurements(manifest.measurements))
    if document["live"]:
        console.print(live_scores.table(document["live"]))
    wide = console.width >= _WIDE
    console.print(gates_table(manifest.findings, wide=wide))
    for finding in () if wide else Verdict(manifest.findings).refused:
        console.print(f"{finding.name}: {finding.message}")
    history = new_table("when (UTC)", "action", "by", "reason", title="as champion")
    for record in document["history"]:
        replaced = record["version"] != manifest.version
        action = f"replaced by {record['version']}" if replaced else record["action"]
        history.add_row(format_time(record["at"]), action, _by(record), record["reason"])
    if document["history"]:
        console.print(history)


def _lineage(manifest: Manifest, decision: Document | None, signers: list[str]) -> Table:
    table = new_table("", "", title="lineage")
    data, code, training = manifest.data, manifest.code, manifest.training
    settings = ", ".join(f"{name} {value}" for name, value in training.settings.items())
    dirty = "" if code.clean else " with changes"
    rows = {
        "made": f"{format_time(manifest.created_at)} UTC by run {manifest.run.name}",
        "data": f"{data.rows:,} rows of {data.arrivals} arrival{'s' * (data.arrivals != 1)}, "
        f"dataset version {data.dataset_version}, {data.digest[:12]}",
        "holdout": f"{data.holdout_rows:,} rows, {data.holdout_digest[:12]}"
        + (f", of {' and '.join(data.judged_by)}" if data.judged_by else ""),
        "code": f"{code.commit[:12]}{dirty}, {code.digest[:12]}",
        "environment": f"Python {manifest.environment.python}, {manifest.environment.platform}",
        "training": f"{training.epochs} epochs in {training.seconds:.0f} s "
        f"({training.cpu_seconds:.0f} s of CPU); {settings}",
        "compared with": _compared(manifest),
        "signed by": ", ".join(signers) or f"nobody: `overnight keys sign {manifest.model}`",
        "decision": f"{decision['verdict']} by {_by(decision)}: {decision['reason']}"
        if decision
        else "pending approval",
    }
    if (run := manifest.run).by:
        by = format_actor(run.by, authenticated=run.authenticated)
        rows["requested"] = ": ".join(part for part in (f"by {by}", run.why) if part)
    if manifest.override is not None:
        by = format_actor(manifest.override.by, authenticated=manifest.override.authenticated)
        rows["gates overridden"] = f"by {by}: {manifest.override.reason}"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _compared(manifest: Manifest) -> str:
    """The champion at that time, and why it could not be compared with, where that was so."""
    undecided = Verdict(manifest.findings).undecided
    return (manifest.compared_with or "no champion") + (f"; {undecided}" if undecided else "")


def _by(record: Document) -> str:
    return format_actor(record["by"], authenticated=record["authenticated"])


def _measurements(measurements: tuple[Measurement, ...]) -> Table:
    table = new_table("metric", "slice", "value", "95 %", "n", title="measured")
    for measured in measurements:
        table.add_row(
            measured.metric,
            measured.slice,
            f"{measured.value:.4f}",
            live_scores.interval(measured),
            f"{measured.n:,}",
        )
    return table


def gates_table(findings: tuple[Finding, ...], *, wide: bool) -> Table:
    """Every gate; on a narrow terminal the messages are left to those that refused."""
    columns = ("result", "gate", "metric", "value", "criterion", *(["message"] if wide else []))
    table = new_table(*columns, title="gates")
    for finding in findings:
        mark = "–" if not finding.applicable else "passed" if finding.passed else "REFUSED"
        value = "" if finding.value is None else figure(finding.value)
        cells = (mark, finding.gate, f"{finding.metric}{finding.where}", value, finding.criterion)
        table.add_row(*cells, *([finding.message] if wide else []))
    return table
