"""Example bodies as literals of Python and JavaScript, in which equal elements are written once."""

import json
from itertools import groupby
from typing import Any, Literal

Language = Literal["Python", "JavaScript"]
# Fewer equal elements are shorter as they are.
_LEAST = 4
_WIDTH = 80
_INDENT = "    "
_NAMES = {True: "True", False: "False", None: "None"}


def literal(value: Any, language: Language, *, depth: int = 0) -> str:
    """The value as an expression, on lines of its own where it is long."""
    if isinstance(value, list) and value:
        return _list(value, language, depth)
    if isinstance(value, dict) and value:
        parts = [
            f"{json.dumps(name)}: {literal(inner, language, depth=depth + 1)}"
            for name, inner in value.items()
        ]
        return _joined(parts, "{}", depth)
    if language == "Python" and (value is None or isinstance(value, bool)):
        return _NAMES[value]
    return json.dumps(value, ensure_ascii=False)


def _list(value: list[Any], language: Language, depth: int) -> str:
    """Runs of equal elements are products of lists in Python, and filled arrays in JavaScript."""
    runs = [[first, *rest] for _, (first, *rest) in groupby(value, key=json.dumps)]
    if all(len(run) < _LEAST for run in runs):
        parts = [literal(inner, language, depth=depth + 1) for inner in value]
        return _joined(parts, "[]", depth)
    if language == "JavaScript":
        if len(runs) == 1:
            return _filled(runs[0], language, depth)
        return _joined([f"...{_filled(run, language, depth + 1)}" for run in runs], "[]", depth)
    parts = [f"[{literal(run[0], language, depth=depth + 1)}] * {len(run)}" for run in runs]
    text = " + ".join(parts)
    if len(runs) > 1 and len(text) + depth * len(_INDENT) > _WIDTH:
        inside = _INDENT * (depth + 1)
        return f"(\n{inside}" + f"\n{inside}+ ".join(parts) + f"\n{_INDENT * depth})"
    return text


def _filled(run: list[Any], language: Language, depth: int) -> str:
    return f"Array({len(run)}).fill({literal(run[0], language, depth=depth)})"


def _joined(parts: list[str], brackets: str, depth: int) -> str:
    opening, closing = brackets[0], brackets[1]
    text = ", ".join(parts)
    if "\n" not in text and len(text) + depth * len(_INDENT) < _WIDTH:
        return f"{opening}{text}{closing}"
    inside = _INDENT * (depth + 1)
    lines = f",\n{inside}".join(parts)
    return f"{opening}\n{inside}{lines},\n{_INDENT * depth}{closing}"
