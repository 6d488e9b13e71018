"""`overnight versions`: every version of a model."""

import json
from collections.abc import Sequence

from rich.console import Console

from overnight.cli.terminal import format_time, new_table, open_console
from overnight.cli.version_names import ShortNames, check_known, shortener
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import load
from overnight.store.errors import CorruptRecord, CorruptVersion, NothingPublished, UnknownVersion
from overnight.store.objects.bucket import Bucket
from overnight.store.printable import share
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.store.trust.trusted_keys import Trust

_FIELDS = (
    "version",
    "made",
    "rows",
    "accuracy",
    "metric",
    "value",
    "decision",
    "decided_by",
    "decision_authenticated",
    "collected",
    "champion_since",
)


def run(model: str, *, as_json: bool) -> None:
    """Print every version: newest first for people, oldest first as JSON.

    Raises:
        UnknownModel: no model is called so. NothingPublished: it has no version yet.
    """
    settings = load()
    bucket = connections.bucket(settings)
    check_known(bucket, model)
    rows = gather(bucket, model, trust=connections.known_trust(settings))
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        console = open_console()
        show(rows, console, shortener(bucket, model, console))


def show(rows: Sequence[Document], console: Console, short: ShortNames) -> None:
    """Print the versions as a table, the newest first."""
    table = new_table("version", "made (UTC)", "rows", "quality", "state")
    for row in reversed(rows):
        if row["error"]:
            damaged = f"damaged: {row['error']}"
            table.add_row(short(row["version"]), "", "", "", damaged, style="red")
            continue
        table.add_row(
            short(row["version"]),
            format_time(row["made"]),
            f"{row['rows']:,}",
            _quality(row),
            _state(row),
            style="bold" if row["champion_since"] else "",
        )
    console.print(table)


def _state(row: Document) -> str:
    """Whether a version serves, who decided about it, and whether its files are gone."""
    parts = []
    if row["champion_since"]:
        parts.append(f"champion since {format_time(row['champion_since'])}")
    decided = row["decision"] and f"{row['decision']} by {row['decided_by']}"
    parts.append(decided or "pending approval")
    if row["collected"]:
        parts.append(f"files deleted {row['collected'][:10]}")
    return "; ".join(parts)


def gather(bucket: Bucket, model: str, *, trust: Trust | None = None) -> list[Document]:
    """One document a version; `champion_since` is set for the one that serves.

    A version that cannot be read has its reason in `error`, and does not hide the others.
    """
    registry = ModelRegistry(bucket, model, trust)
    current, versions = registry.champion.current(), registry.versions()
    if not versions:
        raise NothingPublished(model, Registry(bucket).models())
    return [_row(registry, version, current) for version in versions]


def _quality(row: Document) -> str:
    if row["metric"] is None:
        return "—"
    figure = share(row["value"]) if row["metric"] == "accuracy" else f"{row['value']:.4g}"
    return f"{row['metric']} {figure}"


def _row(registry: ModelRegistry, version: str, current: AliasRecord | None) -> Document:
    try:
        return _readable_row(registry, version, current) | {"error": None}
    except (CorruptRecord, CorruptVersion, UnknownVersion) as error:
        return dict.fromkeys(_FIELDS) | {"version": version, "error": str(error)}


def _readable_row(registry: ModelRegistry, version: str, current: AliasRecord | None) -> Document:
    manifest = registry.manifest(version)
    decision = registry.decisions.find(version)
    collected = registry.tombstones.find(version)
    accuracy = manifest.measured("accuracy")
    # Accuracy, or else the model's first metric over the whole holdout.
    overall = (measured for measured in manifest.measurements if not measured.slice)
    quality = accuracy or next(overall, None)
    serves = current is not None and current.version == version
    return {
        "version": version,
        "made": manifest.created_at.isoformat(),
        "rows": manifest.data.rows,
        "accuracy": accuracy.value if accuracy else None,
        "metric": quality.metric if quality else None,
        "value": quality.value if quality else None,
        "decision": decision.verdict if decision else None,
        "decided_by": decision.by if decision else None,
        "decision_authenticated": decision.authenticated if decision else None,
        "collected": collected.at.isoformat() if collected else None,
        "champion_since": current.at.isoformat() if current and serves else None,
    }
