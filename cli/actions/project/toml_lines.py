"""Adds lines to tables of TOML files, keeping everything else as somebody wrote it."""

import re
import tomllib
from typing import Any

from overnight.store.errors import ConfigurationError


def with_entry(text: str, table: str, key: str, value: str, *, file: str) -> str:
    """The text with `key = "value"` in a table, which is added at the end where it is missing.

    Raises:
        ConfigurationError: the table is written in a form that a line cannot be added to.
    """
    lines = text.splitlines()
    header = re.compile(rf"\s*\[\s*{re.escape(table)}\s*\]\s*(#.*)?")
    entry = f'{key} = "{value}"'
    place = next((n for n, line in enumerate(lines) if header.fullmatch(line)), None)
    if place is None:
        lines += ["", f"[{table}]", entry]
    else:
        following = range(place + 1, len(lines))
        end = next((n for n in following if lines[n].lstrip().startswith("[")), len(lines))
        while not lines[end - 1].strip():
            end -= 1
        lines.insert(end, entry)
    changed = "\n".join(lines) + "\n"
    if _entry(changed, table, key) != value:
        raise ConfigurationError(
            f"{file}: the table [{table}] is written in a form that no line can be added to; "
            f"add {entry} to it, and run this again"
        )
    return changed


def _entry(text: str, table: str, key: str) -> Any:
    try:
        value: Any = tomllib.loads(text)
        for part in re.findall(r'"([^"]*)"|([\w-]+)', f"{table}.{key}"):
            value = value[part[0] or part[1]]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
    return value
