"""`overnight predictions`: the newest rows of the prediction log."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from overnight.cli.actions.predictions import tables
from overnight.cli.terminal import new_table, open_console
from overnight.infra import connections
from overnight.infra.settings import load
from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import Schema

_WIDEST = 36
_ID = 16
_OUTPUT = "output."
Row = Mapping[str, Any]


def run(model: str, *, rows: int, since: datetime | None, as_json: bool) -> None:
    """Print rows, the newest first; of a model that answered nothing yet an empty document.

    Raises:
        UnknownModel, StoreUnavailable, StoreDenied, CorruptTable
    """
    settings = load()
    predictions, _ = tables(settings, model)
    newest = predictions.newest(rows, since and since.replace(tzinfo=UTC)).to_pylist()
    if as_json:
        # Unlike the standard library, this makes null of NaN and text of a date.
        print(orjson.dumps(newest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())
    elif newest:
        registry = ModelRegistry(connections.bucket(settings), model)
        manifests = registry.readable_manifests({row["version"] for row in newest})
        _show(newest, {name: made.tensors for name, made in manifests.items()})
    else:
        when = f" since {since:%Y-%m-%d %H:%M} UTC" if since else ""
        open_console().print(
            f"nothing is recorded of {model}{when}; a host ships what it records within a minute "
            "(OVERNIGHT_PREDICTION_LOG_SEGMENT_SECONDS), and answers appear when the monitor has "
            "collected them, unless the model's definition says `log=None`"
        )


def _show(rows: Sequence[Row], schemas: Mapping[str, Schema]) -> None:
    """One line a row. What explains an answer is left out: `--json` has all of it."""
    # The outputs of a version whose manifest is gone are not known apart: the first one is shown.
    recorded = [name.removeprefix(_OUTPUT) for name in rows[0] if name.startswith(_OUTPUT)]
    known = dict.fromkeys(name for schema in schemas.values() for name in _predictions(schema))
    outputs = [name for name in known if name in recorded] or recorded[:1]
    optional = [name for name in ("caller", "client") if any(row[name] for row in rows)]
    # A log that began before rows were flagged has no such column.
    flags = ["unlike"] if any(row.get(UNLIKE_TRAINING) for row in rows) else []
    columns = ("at (UTC)", "request", *optional, "row", "version", "route", "ms", *outputs, *flags)
    table = new_table(*columns)
    for row in rows:
        schema = schemas.get(row["version"])
        table.add_row(
            f"{row['at']:%Y-%m-%d %H:%M:%S}",
            _end(row["request"]),
            *(_end(row[name] or "") for name in optional),
            str(row["row"]),
            row["version"],
            row["route"],
            f"{row['latency_us'] / 1_000:.1f}",
            *(
                _answer(row[_OUTPUT + name], schema.classes(name) if schema else ())
                for name in outputs
            ),
            *("yes" if row[UNLIKE_TRAINING] else "" for _ in flags),
        )
    open_console().print(table)


def _predictions(schema: Schema) -> list[str]:
    """The outputs that are predictions: the first, and those that have classes of their own."""
    return [
        spec.name
        for place, spec in enumerate(schema.outputs)
        if not place or schema.classes(spec.name)
    ]


def _answer(value: Any, classes: Sequence[str]) -> str:
    """Of probabilities the likeliest class, else the values."""
    if not isinstance(value, list) or not len(value) == len(classes) > 1 or None in value:
        return _short(value)
    likeliest = max(range(len(value)), key=value.__getitem__)
    return f"{classes[likeliest]} ({value[likeliest]:.1%})"


def _end(name: str) -> str:
    """The end of an id, by which ids that one client counts differ."""
    return name if len(name) <= _ID else f"…{name[-_ID:]}"


def _short(value: Any) -> str:
    """A value, or the beginning of many."""
    if value is None:
        return ""
    if isinstance(value, list):
        text = ", ".join(map(_short, value[:12]))
    else:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]}…"
