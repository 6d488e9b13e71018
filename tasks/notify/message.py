"""A message to a person: outcome, model, figures and what to do, as text, HTML and JSON."""

import html
import textwrap
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from overnight.store.printable import printable

Kind = Literal[
    "refused",
    "failed",
    "crashed",
    "awaiting",
    "rolled-back",
    "unconfirmed",
    "source-failed",
    "superseded",
    "late",
    "alarm",
    "summary",
    "test",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
# What a run's message may have at most: findings of many gates must not bury what to do.
_REASON = 1_200
_TITLE = 150
_WIDTH = 78


@dataclass(frozen=True)
class Link:
    """An address of ours; any other scheme than HTTP is no link."""

    name: str
    url: str


@dataclass(frozen=True)
class Message:
    """What one person should know at once.

    Attributes:
        kind: by which people choose what reaches them.
        title: outcome and model, on one line.
        reason: why, in the words of the run or alarm; text from outside may be in it.
        figures: pairs of a name and a value.
        to_do: one sentence; `command` is what to type for it.
        body: text of fixed width that replaces the parts, as for a summary of all models;
            `body_html` is the same as HTML, escaped.
        id: the same for every attempt and channel, so that receivers can drop repetitions.
    """

    kind: Kind
    title: str
    reason: str = ""
    model: str = ""
    outcome: str = ""
    figures: tuple[tuple[str, str], ...] = ()
    to_do: str = ""
    command: str = ""
    links: tuple[Link, ...] = ()
    body: str = ""
    body_html: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def subject(self) -> str:
        """The title as one printable line: no text from outside begins another header."""
        return textwrap.shorten(one_line(self.title), _TITLE, placeholder=" …")


def one_line(text: str) -> str:
    """Text from outside on one line, without characters that a terminal or mail program obeys."""
    return printable(" ".join(text.split()))


def text(message: Message) -> str:
    """The message in plain text, at most 78 columns wide but for commands and addresses."""
    parts = [message.subject]
    if message.body:
        parts.append(printable(message.body))
    if message.reason:
        parts.append(textwrap.fill(_reason(message), _WIDTH, break_long_words=False))
    if message.figures:
        width = max(len(name) for name, _ in message.figures)
        lines = (f"{one_line(name):<{width}}  {one_line(value)}" for name, value in message.figures)
        parts.append("\n".join(lines))
    if message.to_do:
        parts.append(textwrap.fill(one_line(message.to_do), _WIDTH))
    if message.command:
        parts.append(f"    {one_line(message.command)}")
    links = "\n".join(f"{one_line(link.name)}: {one_line(link.url)}" for link in _safe(message))
    return "\n\n".join(part for part in (*parts, links) if part) + "\n"


def as_html(message: Message) -> str:
    """The message as HTML without scripts, styles sheets or pictures; all text is escaped."""
    parts = [f"<h2>{_escaped(message.subject)}</h2>"]
    if message.body:
        parts.append(message.body_html or f"<pre>{html.escape(printable(message.body))}</pre>")
    if message.reason:
        parts.append(f"<p>{html.escape(_reason(message))}</p>")
    if message.figures:
        cells = "".join(
            f"<tr><th align='left'>{_escaped(name)}</th><td>{_escaped(value)}</td></tr>"
            for name, value in message.figures
        )
        parts.append(f"<table cellpadding='4'>{cells}</table>")
    if message.to_do:
        parts.append(f"<p><b>{_escaped(message.to_do)}</b></p>")
    if message.command:
        parts.append(f"<pre>{_escaped(message.command)}</pre>")
    links = " · ".join(
        f'<a href="{html.escape(link.url)}">{_escaped(link.name)}</a>' for link in _safe(message)
    )
    parts.append(f"<p>{links}</p>" if links else "")
    return "<!doctype html><html><body>" + "\n".join(parts) + "</body></html>"


def document(message: Message) -> dict[str, Any]:
    """The message as the JSON document of a webhook."""
    return {
        "format": 1,
        "id": message.id,
        "at": message.at.isoformat(),
        "kind": message.kind,
        "model": message.model,
        "outcome": message.outcome,
        "title": message.subject,
        "reason": _reason(message),
        "figures": {name: one_line(value) for name, value in message.figures},
        "to_do": one_line(message.to_do),
        "command": one_line(message.command),
        "links": {link.name: link.url for link in _safe(message)},
        "text": text(message),
    }


def _reason(message: Message) -> str:
    return textwrap.shorten(one_line(message.reason), _REASON, placeholder=" …")


def _safe(message: Message) -> tuple[Link, ...]:
    return tuple(link for link in message.links if link.url.startswith(("http://", "https://")))


def _escaped(text: str) -> str:
    return html.escape(one_line(text))
