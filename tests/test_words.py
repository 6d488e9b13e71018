"""Retired terms stay away: each has a replacement that readers know from other projects.

`PARTS` holds parts of identifiers, which are split at underscores and capitals, and words of prose
alike. `NAMES` holds whole names that say nothing in code, though prose may use the word. `PHRASES`
holds what only reads wrong in a sentence.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What was renamed is told in the changelog; stored objects and the lock file are not ours to word.
UNREAD = re.compile(r"CHANGELOG\.md|uv\.lock|tests/test_words\.py|tests/goldens/")
TEXTS = {"", ".css", ".html", ".js", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yaml"}

PARTS = {
    "answered_as_other": "out_of_vocabulary",
    "astray": "outlier",
    "attendant": "loader",
    "bringing_up": "up",
    "challenger_live": "challenger_active",
    "comparisons_waiting": "comparison_queue_length",
    "contender": "router",
    "entrance": "admission",
    "gist": "summary",
    "historian": "history sync",
    "knowledge_age": "last_sync_age",
    "ledger": "alias state",
    "made_up": "generated, sample",
    "newcomer": "new user",
    "overheard": "recorded",
    "overrule": "override",
    "recollection": "status",
    "requests_inside": "requests_in_flight",
    "retrace": "audit",
    "scorekeeper": "score sync",
    "sieve": "deduplicator",
    "store_trouble": "sync_error",
    "take_in": "ingest",
    "taking_down": "down",
    "tell_mlflow": "mlflow_worker",
    "trouble_here": "load_error",
    "umpire": "controller",
    "veteran": "previous champion",
}

NAMES = {
    "ask": "request, query, send",
    "asked": "requested, parameters, or the noun",
    "beside": "compared with",
    "board": "shared memory, generation",
    "crowd": "clients",
    "found": "the noun of what was looked up; only the pair expected and found stays",
    "gist": "summary",
    "hear": "wait for, receive",
    "heard": "confirmation, message",
    "house": "context",
    "look": "tick, check",
    "looking": "checking",
    "night": "run, arrival",
    "nights": "runs, arrivals",
    "noted": "recorded",
    "one": "the singular of the collection",
    "over": "expected",
    "recall": "find",
    "room": "package, budget",
    "said": "statement, report",
    "say": "report, print",
    "sift": "deduplicate",
    "taken": "the noun of what is held",
    "tell": "report, render, notify",
    "teller": "reporter",
    "told": "rendered, report, or the noun",
    "walk": "run",
    "walked": "ran",
    "word": "decision, statement",
    "words": "arguments, terms",
}

PHRASES = {
    r"\b(?:taken?|takes|took|taking) in\b": "ingest",
    r"\babout whom people decide\b": "with manual approval",
    r"\bby name agreed\b": "deterministically",
    r"\b(?:goes|go|went) on\b": "continue",
    r"\bhalf within\b": "p50",
    r"\bheld against\b": "compared with, checked against",
    r"\blets? go of\b": "delete",
    r"\bspoilt\b": "corrupted, damaged",
    r"\btells? (?:how|what|which|who|why|of)\b": "report, list, show",
    r"\btold\b": "reported, said by",
    r"\b(?:a|the|each|last|next|first|whole|one|this) night(?:'s)?\b": "run, arrival",
    r"\b(?:nightly|the|a) walk\b": "run",
    r"\btonight(?:'s)?\b": "the run's, new",
    r"\bwho served when\b": "deployment history",
    r"\bwhoever\b": "a client, a person, a process that",
    r"\bwords can be proved|proves? (?:its|their|his|her|a) words?\b": "authenticate",
}

PAIR = "errors name what was expected and what was found"
# Where a term stays: files, term, why.
ALLOWED = (
    (r"(store/encoding|models/learned)/.*\.py", "word", "texts are made of words"),
    (r"(store/encoding|models/learned)/.*\.py", "words", "texts are made of words"),
    (r"serving/host/alias_state\.py", "told", "files of hosts of the first release have the field"),
    (r".*/errors\.py", "found", PAIR),
    (r"models/sources/borrowed_file\.py", "tell", "the interface of Python's own files"),
    (r"serving/inference/.*\.py", "found", PAIR),
    (r"serving/rest/routes/admin\.py", "found", PAIR),
    (
        r"models/(gates/gate|sources/(csv_stream|declared_rows|s3_prefix|sql|http))\.py",
        "found",
        PAIR,
    ),
)

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PHRASES = re.compile(
    "|".join(f"(?P<p{n}>{phrase})" for n, phrase in enumerate(PHRASES)), re.IGNORECASE
)


@cache
def tracked() -> tuple[tuple[str, str], ...]:
    """Path and text of every file that people write."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return tuple(
        (name, (ROOT / name).read_text())
        for name in listed.splitlines()
        if Path(name).suffix in TEXTS and (ROOT / name).is_file() and not UNREAD.match(name)
    )


@cache
def retired(identifier: str) -> str | None:
    """The retired term that an identifier or word contains, in singular or plural."""
    words = [word.lower() for word in _WORD.findall(identifier)]
    joined = f"_{'_'.join(words)}_"
    return next((term for term in PARTS if f"_{term}_" in joined or f"_{term}s_" in joined), None)


def in_identifiers(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, retired term and replacement, of identifiers and single words."""
    terms = {name: term for name in set(_IDENTIFIER.findall(text)) if (term := retired(name))}
    if not terms:
        return
    for number, line in enumerate(text.splitlines(), 1):
        for identifier in _IDENTIFIER.findall(line):
            if term := terms.get(identifier):
                yield number, term, PARTS[term]


def in_prose(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, retired phrase and replacement."""
    for match in _PHRASES.finditer(text):
        number = text.count("\n", 0, match.start()) + 1
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


def findings_in(name: str, text: str) -> Iterator[tuple[int, str, str]]:
    """All findings of one file; in tests only those of `PARTS`."""
    yield from in_identifiers(text)
    if not name.startswith("tests/"):
        yield from in_prose(text)
        yield from in_code(text) if name.endswith(".py") else ()


def test_no_file_uses_a_retired_term() -> None:
    findings = [
        f"{name}:{line}: {term!r} is retired: {replacement}"
        for name, text in tracked()
        for line, term, replacement in findings_in(name, text)
        if not any(re.fullmatch(place, name) and term == kept for place, kept, _ in ALLOWED)
    ]

    assert findings == [], "\n" + "\n".join(findings)


def test_every_allowed_name_is_still_in_use() -> None:
    for place, term, reason in ALLOWED:
        assert reason
        assert any(
            re.fullmatch(place, name) and term in {word for _, word, _ in findings_in(name, text)}
            for name, text in tracked()
        ), f"{term} is not in {place}: remove it from the list"


def test_retired_terms_are_found_in_identifiers_and_prose() -> None:
    text = "requests_inside = 1\nclass OverheardThread\nthe two contenders\ncontended\n"

    assert [(line, term) for line, term, _ in in_identifiers(text)] == [
        (1, "requests_inside"),
        (2, "overheard"),
        (3, "contender"),
    ]
