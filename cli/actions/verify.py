"""What `overnight verify` tells."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from overnight.cli.terminal import new_table, open_console, progress_bars
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import Settings, load
from overnight.store.datasets.delta_table import Dataset
from overnight.store.maintenance import repair as repairing
from overnight.store.maintenance.audit_rules import Audit, Observation, Severity
from overnight.tasks.maintenance.audit import AuditContext, verify

_KINDS = {
    "versions": ("manifest",),
    "files": ("file of a version", "signature"),
    "decisions": ("decision",),
    "records": ("alias record", "tuned settings", "arrival review"),
    "words": ("acknowledgement", "withdrawal"),
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
    """Tell what was seen, after adding what can be; leaves with 1 when findings remain.

    It does so, too, when there are versions and no key to verify them by, unless that is meant.

    Raises:
        UnknownModel, StoreUnavailable, StoreDenied, ExportChanged
    """
    settings = load()
    audit = _verified(settings, model)
    added: list[str] = []
    lost: list[str] = []
    while repair:
        more, lost = _repaired(settings, audit, source, model)
        if not more:
            break
        # What came back may show what else is missing.
        added += more
        audit = _verified(settings, model)
    if as_json:
        print(json.dumps(document(audit, added, lost), indent=2))
    else:
        _print(audit, added, lost, open_console())
    verified = audit.signatures_checked or without_signatures or not audit.tallies
    sys.exit(0 if audit.is_clean and verified else 1)


def _verified(settings: Settings, model: str | None) -> Audit:
    where = connections.address(settings)
    # A file that is there and cannot be understood is an error; none is a home without keys.
    trust = connections.trust(settings) if settings.trusted_keys.exists() else None
    house = AuditContext(
        connections.bucket(settings),
        lambda model, name: Dataset.on_s3(where, model, name),
        trust,
    )
    with progress_bars() as show:
        return verify(house, model, report=lambda done, total: show("reading", done, total))


def _repaired(
    settings: Settings, audit: Audit, folder: Path | None, model: str | None
) -> tuple[list[str], list[str]]:
    """The keys that were added, and those that are missing and were nowhere to be had."""
    bucket = connections.bucket(settings)
    caches = sorted((settings.home / "serving").glob("*/cache"))
    sources: list[repairing.Source] = [repairing.cached(bucket, caches)]
    wanted = repairing.missing(audit.findings)
    if folder:
        export = repairing.Export(bucket, folder)
        sources.insert(0, export)
        wanted = [*export.lacking(model), *wanted]
    added, unfound = repairing.repair(bucket, wanted, sources)
    missed = {*repairing.missing(audit.findings)}
    return added, [key for key in unfound if key in missed]


def document(audit: Audit, added: list[str], lost: list[str]) -> Document:
    """The same for a program."""
    return {
        "clean": audit.is_clean,
        "signatures_checked": audit.signatures_checked,
        "models": {model: dict(tally) for model, tally in audit.tallies.items()},
        "findings": [_told(one) for one in audit.findings],
        "notes": [_told(one) for one in audit.observations if one.severity is Severity.NOTE],
        "added": added,
        "lost": lost,
    }


def _told(one: Observation) -> Document:
    return asdict(one) | {"severity": str(one.severity)}


def _print(audit: Audit, added: list[str], lost: list[str], console: Console) -> None:
    table = new_table("model", *_KINDS, "findings")
    for model, tally in audit.tallies.items():
        counts = (sum(tally.get(kind, 0) for kind in kinds) for kinds in _KINDS.values())
        findings = sum(one.model == model for one in audit.findings)
        table.add_row(model, *map(str, counts), str(findings), style="red" if findings else "")
    console.print(table if audit.tallies else "the bucket is empty")
    for key in added:
        console.print(f"added   {key}", style="green", markup=False)
    for key in lost:
        why = "no copy of it was found that goes on from what is here"
        console.print(f"lost    {key}: {why}", style="red", markup=False)
    for one in (*audit.findings, *(o for o in audit.observations if o.severity is Severity.NOTE)):
        style = {"error": "red", "warning": "yellow"}.get(str(one.severity), "")
        remedy = f"\n        {one.remedy}" if one.remedy else ""
        console.print(
            f"{one.severity:7} {one.key}\n        {one.what}{remedy}", style=style, markup=False
        )
    if not audit.signatures_checked:
        console.print(
            "signatures not looked at: no key is trusted here (`overnight keys trust`, or "
            "--without-signatures where that is meant)",
            style="yellow",
        )
    count = len(audit.findings)
    said = f"{count} finding{'s' * (count > 1)}" if count else "all is well"
    console.print(said, style="bold")
