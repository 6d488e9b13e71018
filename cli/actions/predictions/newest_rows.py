"""`overnight predictions`: the newest rows of the prediction log."""

from datetime import UTC, datetime
from typing import Any

import orjson

from overnight.cli.actions.predictions import tables
from overnight.cli.terminal import new_table, open_console
from overnight.infra.settings import load

_WIDEST = 36
_ID = 16


def run(model: str, *, rows: int, since: datetime | None, as_json: bool) -> None:
    """Print rows, the newest first; of a model that answered nothing yet an empty document.

    Raises:
        UnknownModel, StoreUnavailable, StoreDenied, CorruptTable
    """
    predictions, _ = tables(load(), model)
    newest = predictions.newest(rows, since and since.replace(tzinfo=UTC)).to_pylist()
    if as_json:
        # Unlike the standard library, this makes null of NaN and text of a date.
        print(orjson.dumps(newest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())
    elif newest:
        _show(newest)
    else:
        when = f" since {since:%Y-%m-%d %H:%M} UTC" if since else ""
        open_console().print(
            f"nothing is recorded of {model}{when}; a host ships what it records within a minute "
            "(OVERNIGHT_PREDICTION_LOG_SEGMENT_SECONDS), and answers appear when the monitor has "
            "collected them, unless the model's definition says `log=None`"
        )


def _show(rows: list[dict[str, Any]]) -> None:
    outputs = [name for name in rows[0] if name.startswith("output.")]
    table = new_table(
        "at (UTC)", "request", "caller", "row", "version", "route", "client", "ms", *outputs
    )
    for row in rows:
        table.add_row(
            f"{row['at']:%Y-%m-%d %H:%M:%S}",
            _end(row["request"]),
            _end(row["caller"] or ""),
            str(row["row"]),
            row["version"],
            row["route"],
            row["client"],
            f"{row['latency_us'] / 1_000:.1f}",
            *(_short(row[name]) for name in outputs),
        )
    open_console().print(table)


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
