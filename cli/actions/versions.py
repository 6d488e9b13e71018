"""`overnight versions`: every version of a model."""

import json
from collections.abc import Sequence

from overnight.cli.terminal import new_table, open_console
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import load
from overnight.store.errors import CorruptRecord, CorruptVersion, NothingPublished, UnknownVersion
from overnight.store.objects.bucket import Bucket
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
    """Print every version, oldest first.

    Raises:
        NothingPublished: nothing of this name was ever published.
    """
    settings = load()
    rows = gather(connections.bucket(settings), model, trust=connections.known_trust(settings))
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows)


def show(rows: Sequence[Document]) -> None:
    """Print the versions as a table."""
    table = new_table("version", "made", "rows", "quality", "decision", "champion since")
    for row in rows:
        if row["error"]:
            table.add_row(row["version"], "", "", "", f"damaged: {row['error']}", "", style="red")
            continue
        quality = _quality(row)
        decision = f"{row['decision']} by {row['decided_by']}" if row["decision"] else "waits"
        decision += f"; files deleted {row['collected'][:10]}" if row["collected"] else ""
        since = (row["champion_since"] or "")[:19]
        table.add_row(
            row["version"],
            row["made"][:19],
            f"{row['rows']:,}",
            quality,
            decision,
            since,
            style="bold" if since else "",
        )
    open_console().print(table)


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
    figure = f"{row['value']:.2%}" if row["metric"] == "accuracy" else f"{row['value']:.4g}"
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
