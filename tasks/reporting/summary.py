"""The summary of all models: one text, as plain text, Markdown and HTML."""

import html
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from overnight.store.printable import printable
from overnight.tasks.reporting.markdown import cell

_WIDTH = 80
_REASON = 240
_NAME = 14


@dataclass(frozen=True)
class ModelSummary:
    """One model: its last run, its quality, what waits for a person, and what comes next.

    `metric` is of the newest version, with its change against the champion's. `arrivals` and
    `new_rows` are those of the last day; None rows where they were not counted. `waiting` are
    commands.
    """

    model: str
    outcome: str = "not known"
    is_red: bool = False
    reason: str = ""
    ended_at: datetime | None = None
    champion: str = ""
    metric: str = ""
    arrivals: int = 0
    new_rows: int | None = 0
    waiting: tuple[str, ...] = ()
    live: str = ""
    alarms: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    next_run: datetime | None = None
    missed: int = 0

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody should look: something waits, alarms, is red or was missed."""
        return bool(self.waiting or self.alarms or self.is_red or self.missed)


@dataclass(frozen=True)
class Summary:
    """All models at one time; `problems` are what could not be read, with their remedy."""

    at: datetime
    zone: str = "UTC"
    models: tuple[ModelSummary, ...] = ()
    problems: tuple[str, ...] = ()
    undelivered: int = 0

    @property
    def title(self) -> str:
        """How many models need a person, on one line."""
        needing = sum(model.needs_a_person for model in self.models)
        number = len(self.models)
        if needing:
            return f"{needing} of {number} models {'needs' if needing == 1 else 'need'} you"
        if self.problems:
            return f"{number} models, but not all is known"
        return f"all {number} models are well" if number != 1 else "the model is well"


def as_text(summary: Summary, *, heading: bool = True) -> str:
    """The summary at 80 columns; nothing is cut but long reasons, and no command is broken."""
    lines = []
    if heading:
        lines += [f"{summary.title}, {_at(summary, summary.at, day=True)} {summary.zone}", ""]
    for model in summary.models:
        name = printable(model.model)
        indent = " " * (_NAME + 2)
        outcome, facts = _outcome(summary, model), _facts(summary, model)
        if model.reason:
            # With its reason an outcome is a sentence, on lines of its own.
            whole = f"{name:<{_NAME}}  {outcome}" if len(name) <= _NAME else outcome
            lines += [] if len(name) <= _NAME else [name]
            lines += textwrap.wrap(
                whole, _WIDTH, initial_indent="" if len(name) <= _NAME else indent,
                subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
            lines += _joined("", facts)
        else:
            lines += _joined(name, [outcome, *facts])
        for text in _sentences(model):
            lines += textwrap.wrap(
                text, _WIDTH, initial_indent=indent, subsequent_indent=indent,
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
        # On lines of their own, so that they can be copied.
        lines += [f"    waits: {printable(command)}" for command in model.waiting]
    for problem in _problems(summary):
        lines += textwrap.wrap(
            f"! {problem}", _WIDTH, subsequent_indent="  ", break_long_words=False
        )
    return "\n".join(lines) + "\n"


def as_markdown(summary: Summary) -> str:
    """The summary as Prefect's card shows it."""
    parts = [f"# {summary.title}", f"{_at(summary, summary.at, day=True)} {cell(summary.zone)}"]
    for model in summary.models:
        facts = " · ".join(map(cell, [_outcome(summary, model), *_facts(summary, model)]))
        more = [cell(text) for text in _sentences(model)]
        more += [f"waits: `{_code(command)}`" for command in model.waiting]
        lines = "".join(f"\n  - {text}" for text in more)
        parts.append(f"- **{cell(model.model)}** {facts}{lines}")
    parts += [f"**{cell(problem)}**" for problem in _problems(summary)]
    return "\n\n".join(parts)


def as_html(summary: Summary) -> str:
    """The summary as a part of an HTML mail; all text is escaped."""
    rows = []
    for model in summary.models:
        texts = [_escaped(text) for text in _sentences(model)]
        texts += [f"waits: <code>{_escaped(command)}</code>" for command in model.waiting]
        facts = " · ".join(map(_escaped, [_outcome(summary, model), *_facts(summary, model)]))
        below = "".join(f"<br>{text}" for text in texts)
        rows.append(
            f"<tr><th align='left' valign='top'>{_escaped(model.model)}</th>"
            f"<td>{facts}{below}</td></tr>"
        )
    problems = "".join(f"<p><b>{_escaped(problem)}</b></p>" for problem in _problems(summary))
    when = f"<p>{_at(summary, summary.at, day=True)} {_escaped(summary.zone)}</p>"
    return f"{when}<table cellpadding='4'>{''.join(rows)}</table>{problems}"


def as_document(summary: Summary) -> Mapping[str, Any]:
    """The summary as JSON."""
    return {
        "title": summary.title,
        "at": summary.at.isoformat(),
        "models": [
            {field.name: _plain(getattr(model, field.name)) for field in fields(model)}
            | {"needs_a_person": model.needs_a_person}
            for model in summary.models
        ],
        "problems": list(summary.problems),
        "undelivered": summary.undelivered,
    }


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _outcome(summary: Summary, model: ModelSummary) -> str:
    """How the last run ended, when, and why."""
    ended = f" {_at(summary, model.ended_at)}" if model.ended_at else ""
    reason = printable(" ".join(model.reason.split()))
    why = f": {textwrap.shorten(reason, _REASON, placeholder=' …')}" if reason else ""
    return printable(" ".join(f"{model.outcome}{ended}".split())) + why


def _facts(summary: Summary, model: ModelSummary) -> list[str]:
    """What is said behind the outcome, in few words each."""
    rows = f"+{model.new_rows:,} rows" if model.new_rows is not None else ""
    arrivals = f"{rows} of {_arrivals(model)}" if rows else f"{_arrivals(model)} (rows unknown)"
    arrivals = arrivals if model.arrivals else "no new rows"
    coming = f"next {_at(summary, model.next_run)}" if model.next_run else "no next run"
    facts = [model.metric, arrivals, coming]
    if not model.champion:
        facts.append("no champion")
    if model.missed:
        facts.append(f"{model.missed} missed")
    return [printable(" ".join(fact.split())) for fact in facts if fact]


def _arrivals(model: ModelSummary) -> str:
    return "1 arrival" if model.arrivals == 1 else f"{model.arrivals} arrivals"


def _sentences(model: ModelSummary) -> Iterator[str]:
    """What follows below the first line."""
    if model.live:
        yield printable(model.live)
    for alarm in model.alarms:
        yield printable(f"alarm: {alarm}" if not alarm.startswith("what follows") else alarm)
    for alarm in model.ended:
        yield printable(f"ended: {alarm}" if not alarm.startswith("what follows") else alarm)


def _problems(summary: Summary) -> Iterator[str]:
    yield from (printable(problem) for problem in summary.problems)
    if summary.undelivered:
        yield (
            f"{summary.undelivered} notifications reached nobody in the last 24 hours: see the "
            "failed runs of notify in Prefect"
        )


def _joined(name: str, facts: list[str]) -> list[str]:
    """The facts behind a name, on as many lines as they need; none is broken."""
    indent, lines = " " * (_NAME + 2), [f"{name:<{_NAME}}  "]
    # A longer name has a line of its own.
    if len(name) > _NAME:
        lines = [name, indent]
    for number, fact in enumerate(facts):
        added = fact if lines[-1].endswith("  ") or not number else f" · {fact}"
        if len(lines[-1]) + len(added) > _WIDTH and lines[-1].strip() != name:
            lines.append(indent + fact)
        else:
            lines[-1] += added
    return [line.rstrip() for line in lines]


def _at(summary: Summary, moment: datetime, *, day: bool = False) -> str:
    """A time in the zone of the summary, with its day where that is another one."""
    local, today = (each.astimezone(ZoneInfo(summary.zone)) for each in (moment, summary.at))
    same = local.date() == today.date() and not day
    return f"{local:%H:%M}" if same else f"{local:%Y-%m-%d %H:%M}"


def _escaped(text: str) -> str:
    return html.escape(printable(" ".join(text.split())))


def _code(text: str) -> str:
    return printable(" ".join(text.split())).replace("`", "'")
