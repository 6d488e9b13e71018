"""Retired terms stay away: each has a replacement that readers know from other projects.

`PARTS` holds parts of identifiers, which are split at underscores and capitals, and words of prose
alike. `NAMES` holds whole names that say nothing in code, though prose may use the word. `PHRASES`
holds what only reads wrong in a sentence.
"""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What was renamed is told in the changelog; stored objects and the lock file are not ours to word.
UNREAD = re.compile(r"CHANGELOG\.md|uv\.lock|tests/test_words\.py|tests/goldens/")
TEXTS = {"", ".css", ".html", ".js", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yaml"}

PARTS = {
    "answered_as_other": "out_of_vocabulary",
    "challenger_live": "challenger_active",
    "comparisons_waiting": "comparison_queue_length",
    "contender": "router",
    "knowledge_age": "last_sync_age",
    "overheard": "recorded",
    "recollection": "status",
    "requests_inside": "requests_in_flight",
    "store_trouble": "sync_error",
    "tell_mlflow": "mlflow_worker",
    "trouble_here": "load_error",
}

NAMES: Mapping[str, str] = {}

PHRASES = {
    r"by name agreed": "deterministically",
    r"half within": "p50",
    r"who served when": "deployment history",
}

# Names that are stored or sent, and so outlive their Python names: place, term, why.
ALLOWED: tuple[tuple[str, str, str], ...] = ()

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PHRASES = re.compile(
    "|".join(f"(?P<p{n}>{phrase})" for n, phrase in enumerate(PHRASES)), re.IGNORECASE
)


def tracked() -> Iterator[tuple[str, str]]:
    """Path and text of every file that people write."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in TEXTS and path.is_file() and not UNREAD.match(name):
            yield name, path.read_text()


@cache
def retired(identifier: str) -> str | None:
    """The retired term that an identifier or word contains, in singular or plural."""
    words = [word.lower() for word in _WORD.findall(identifier)]
    joined = f"_{'_'.join(words)}_"
    return next((term for term in PARTS if f"_{term}_" in joined or f"_{term}s_" in joined), None)


def in_text(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, retired term and replacement, of identifiers and of prose."""
    for number, line in enumerate(text.splitlines(), 1):
        for identifier in _IDENTIFIER.findall(line):
            if term := retired(identifier):
                yield number, term, PARTS[term]
        for match in _PHRASES.finditer(line):
            yield number, match[0], list(PHRASES.values())[int((match.lastgroup or "")[1:])]


def in_code(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, retired name and replacement, of names that a module binds."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                pass
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case _:
                continue
        if replacement := NAMES.get(name.strip("_")):
            yield node.lineno, name, replacement


def test_no_file_uses_a_retired_term() -> None:
    findings = [
        f"{name}:{line}: {term!r} is retired: {replacement}"
        for name, text in tracked()
        for line, term, replacement in (
            *in_text(text),
            *(in_code(text) if name.endswith(".py") else ()),
        )
        if not any(re.fullmatch(place, name) and term == kept for place, kept, _ in ALLOWED)
    ]

    assert findings == [], "\n" + "\n".join(findings)


def test_every_allowed_name_is_still_in_use() -> None:
    texts = list(tracked())
    for place, term, reason in ALLOWED:
        assert reason
        assert any(
            re.fullmatch(place, name) and any(term == found for _, found, _ in in_text(text))
            for name, text in texts
        ), f"{term} is not in {place}: remove it from the list"


def test_retired_terms_are_found_in_identifiers_and_prose() -> None:
    text = "requests_inside = 1\nclass OverheardThread\nthe two contenders\ncontended\n"

    assert [(line, term) for line, term, _ in in_text(text)] == [
        (1, "requests_inside"),
        (2, "overheard"),
        (3, "contender"),
    ]
