"""What `overnight show` tells: the card of one version."""

import json

from rich.console import Console
from rich.table import Table

from overnight.cli.actions import live_scores
from overnight.cli.terminal import new_table, open_console
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import load
from overnight.store.errors import NothingPublished
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import Finding, Manifest, Measurement
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.store.trust.request_proof import format_actor


def run(model: str, version: str, *, as_json: bool) -> None:
    """Tell all there is to tell about a version, or about the champion.

    Raises:
        NothingPublished: the model has no champion. UnknownVersion: there is no such version.
    """
    settings = load()
    document, manifest = gather(connections.bucket(settings), model, version)
    if "report.html" in manifest.files:
        where = f"api/models/{model}/versions/{manifest.version}/report"
        document["report"] = f"{settings.answers_url}/{where}"
    show(document, manifest, as_json=as_json)


def show(document: Document, manifest: Manifest, *, as_json: bool) -> None:
    """Print the card, for a program or for a person."""
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        _print(document, manifest, open_console())


def gather(bucket: Bucket, model: str, version: str) -> tuple[Document, Manifest]:
    """The manifest, the decision, when the version became champion, and how it did then."""
    registry = ModelRegistry(bucket, model)
    history = registry.champion.history()
    if version == "champion":
        if not history:
            raise NothingPublished(model, Registry(bucket).models())
        version = history[-1].version
    manifest = registry.manifest(version)
    decision = registry.decision(version)
    collected = registry.tombstone(version)
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
    serves = " (champion)" if document["champion"] else ""
    console.print(f"{manifest.model} {manifest.version}{serves}", style="bold")
    if "report" in document:
        console.print(f"its report: {document['report']}")
    if gone := document["collected"]:
        console.print(f"its files were collected on {gone['at'][:10]} by {gone['by']}")
    console.print(_lineage(manifest, document["decision"], document["signers"]))
    console.print(_measurements(manifest.measurements))
    if document["live"]:
        console.print(live_scores.table(document["live"]))
    console.print(_gates(manifest.findings))
    history = new_table("when", "what", "by", "reason", title="as champion")
    for one in document["history"]:
        left = one["version"] != manifest.version
        what = f"gave way to {one['version']}" if left else one["action"]
        history.add_row(one["at"][:19], what, _by(one), one["reason"])
    if document["history"]:
        console.print(history)


def _lineage(manifest: Manifest, decision: Document | None, signed_by: list[str]) -> Table:
    table = new_table("", "", title="lineage")
    data, code, training = manifest.data, manifest.code, manifest.training
    settings = ", ".join(f"{name} {value}" for name, value in training.settings.items())
    dirty = "" if code.clean else " with changes"
    rows = {
        "made": f"{manifest.created_at:%Y-%m-%d %H:%M:%S} by run {manifest.run.name}",
        "data": f"{data.rows:,} rows of {data.arrivals} arrivals, dataset version "
        f"{data.dataset_version}, {data.digest[:12]}",
        "holdout": f"{data.holdout_rows:,} rows, {data.holdout_digest[:12]}",
        "code": f"{code.commit[:12]}{dirty}, {code.digest[:12]}",
        "environment": f"Python {manifest.environment.python}, {manifest.environment.platform}",
        "training": f"{training.epochs} epochs in {training.seconds:.0f} s "
        f"({training.cpu_seconds:.0f} s of CPU); {settings}",
        "compared with": manifest.compared_with or "no champion",
        "signed by": ", ".join(signed_by) or f"nobody: `overnight keys sign {manifest.model}`",
        "decision": f"{decision['verdict']} by {_by(decision)}: {decision['reason']}"
        if decision
        else "waits for a person",
    }
    if (run := manifest.run).by:
        by = format_actor(run.by, authenticated=run.authenticated)
        rows["asked for"] = ": ".join(part for part in (f"by {by}", run.why) if part)
    if manifest.override is not None:
        by = format_actor(manifest.override.by, authenticated=manifest.override.authenticated)
        rows["gates overruled"] = f"by {by}: {manifest.override.reason}"
    for name, told in rows.items():
        table.add_row(name, told)
    return table


def _by(record: Document) -> str:
    return format_actor(record["by"], authenticated=record["authenticated"])


def _measurements(measurements: tuple[Measurement, ...]) -> Table:
    table = new_table("metric", "slice", "value", "95 %", "n", title="measured")
    for one in measurements:
        known = one.low is not None and one.high is not None
        interval = f"{one.low:.4f}–{one.high:.4f}" if known else ""
        table.add_row(one.metric, one.slice, f"{one.value:.4f}", interval, f"{one.n:,}")
    return table


def _gates(findings: tuple[Finding, ...]) -> Table:
    table = new_table("", "gate", "slice", "value", "bound", "message", title="gates")
    for one in findings:
        mark = "–" if not one.applicable else "passed" if one.passed else "REFUSED"
        value, bound = (f"{x:.4g}" if x is not None else "" for x in (one.value, one.bound))
        table.add_row(mark, one.gate, one.slice, value, bound, one.message)
    return table
