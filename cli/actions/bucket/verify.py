"""`overnight verify`: audit the bucket, and repair it from exact copies."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from overnight.cli.terminal import open_console, progress_bars
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import Settings, load
from overnight.store.datasets.delta_table import Dataset
from overnight.store.maintenance import repair as repairing
from overnight.store.maintenance.audit_rules import Audit, Observation, Severity
from overnight.store.objects import keys
from overnight.store.registry.actor import Actor
from overnight.store.registry.registry import Registry
from overnight.tasks.maintenance.audit import AuditContext, verify

_KINDS = {
    "versions": ("manifest",),
    "files": ("file of a version", "signature"),
    "decisions": ("decision",),
    "records": ("alias record", "tuned settings", "arrival review"),
    "acknowledgements": ("acknowledgement", "withdrawal"),
    "scores": ("score",),
    "table files": ("file of a table",),
}


def run(
    model: str | None,
    *,
    repair: bool,
    source: Path | None,
    as_json: bool,
    without_signatures: bool = False,
) -> None:
    """Print the audit, after repairing what can be; exits with 1 when findings remain.

    The exit code is also 1 when there are versions and no trusted key to verify them by, unless
    `without_signatures`.

    Raises:
        UnknownModel, StoreUnavailable, StoreDenied, ExportChanged
    """
    settings = load()
    audit = _audit(settings, model)
    added: list[str] = []
    lost: list[str] = []
    while repair:
        more, lost = _repair(settings, audit, source, model)
        if not more:
            break
        # A restored manifest or log may name other objects that are missing.
        added += more
        audit = _audit(settings, model)
    if as_json:
        print(json.dumps(to_json(audit, added, lost), indent=2))
    else:
        _print(audit, added, lost, open_console())
    verified = audit.signatures_checked or without_signatures or not audit.tallies
    sys.exit(0 if audit.is_clean and verified else 1)


def _audit(settings: Settings, model: str | None) -> Audit:
    address = connections.address(settings)
    # No file means a home without keys; an unreadable one must not pass as that.
    trust = connections.known_trust(settings)
    context = AuditContext(
        connections.bucket(settings), lambda model, name: Dataset.on_s3(address, model, name), trust
    )
    with progress_bars() as show:
        return verify(context, model, report=lambda done, total: show("reading", done, total))


def _repair(
    settings: Settings, audit: Audit, folder: Path | None, model: str | None
) -> tuple[list[str], list[str]]:
    """The keys that were added, and the missing ones of which no copy was found."""
    bucket = connections.bucket(settings)
    caches = sorted((settings.home / "serving").glob("*/cache"))
    sources: list[repairing.Source] = [repairing.cached(bucket, caches)]
    missing = repairing.missing(audit.findings)
    if folder:
        export = repairing.Export(bucket, folder)
        sources.insert(0, export)
        missing = [*export.missing_keys(model), *missing]
    added, lost = repairing.repair(bucket, missing, sources)
    added += _restate_champions(settings, audit, model)
    # An export may lack an object that the bucket does not need.
    needed = {*repairing.missing(audit.findings)}
    return added, [key for key in lost if key in needed]


def _restate_champions(settings: Settings, audit: Audit, model: str | None) -> list[str]:
    """The keys of the records that name a champion once more after one that does not count."""
    trust = connections.known_trust(settings)
    if trust is None:
        return []
    signer = connections.record_signer(settings, "administration")
    registry = Registry(connections.bucket(settings), trust, signer)
    actor = Actor("verify", "the record before does not count")
    names = [model] if model else list(audit.tallies)
    restated = [repairing.restate_champion(registry.model(name), actor) for name in names]
    return [
        keys.alias_record(record.model, record.alias, record.sequence)
        for record in restated
        if record is not None
    ]


def to_json(audit: Audit, added: list[str], lost: list[str]) -> Document:
    return {
        "clean": audit.is_clean,
        "signatures_checked": audit.signatures_checked,
        "models": {model: dict(tally) for model, tally in audit.tallies.items()},
        "findings": [_observation(finding) for finding in audit.findings],
        "notes": [_observation(note) for note in _notes(audit)],
        "added": added,
        "lost": lost,
    }


def _observation(observation: Observation) -> Document:
    return asdict(observation) | {"severity": str(observation.severity)}


def _notes(audit: Audit) -> list[Observation]:
    return [item for item in audit.observations if item.severity is Severity.NOTE]


def _print(audit: Audit, added: list[str], lost: list[str], console: Console) -> None:
    for model, tally in audit.tallies.items():
        findings = sum(finding.model == model for finding in audit.findings)
        console.print(_counts(model, tally, findings), style="red" if findings else "")
    if not audit.tallies:
        console.print("the bucket is empty")
    for key in added:
        console.print(f"added   {key}", style="green")
    for key in lost:
        console.print(f"lost    {key}: no copy that fits this bucket was found", style="red")
    for observation in (*audit.findings, *_notes(audit)):
        style = {"error": "red", "warning": "yellow"}.get(str(observation.severity), "")
        lines = (f"{observation.severity:7} {observation.key}", observation.what)
        remedy = (observation.remedy,) if observation.remedy else ()
        console.print("\n        ".join((*lines, *remedy)), style=style)
    if not audit.signatures_checked:
        console.print(
            "signatures not checked: no key is trusted here (`overnight keys trust`, or "
            "--without-signatures where that is intended)",
            style="yellow",
        )
    count = len(audit.findings)
    summary = f"{count} finding{'s' * (count > 1)}" if count else "no findings"
    console.print(summary, style="bold")


def _counts(model: str, tally: Mapping[str, int], findings: int) -> str:
    """What was read of a model, in one sentence: a table of as many columns fits no terminal."""
    counts = {name: sum(tally.get(kind, 0) for kind in kinds) for name, kinds in _KINDS.items()}
    read = ", ".join(
        f"{count:,} {name.removesuffix('s') if count == 1 else name}"
        for name, count in counts.items()
    )
    return f"{model}: {read}; {findings or 'no'} finding{'s' * (findings != 1)}"
