"""The help of a command: names of options are whole, choices are shown, and prose fits the width.

Typer's own tables cut names at 80 columns, give flags a type, and keep the line ends of docstrings.
"""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

_WIDEST = 100
# Options whose name is longer have their help on the next line.
_NAMES = 28
_INDENT = 2
_EXAMPLES = "Examples:"
_TYPES = {
    "int": "N",
    "int range": "N",
    "float": "NUMBER",
    "float range": "NUMBER",
    "str": "TEXT",
    "path": "PATH",
    "file": "FILE",
    "directory": "FOLDER",
}


class Group(TyperGroup):
    """Commands whose own flags are shown without a type."""

    def get_params(self, ctx: Any) -> Any:
        """The options of the group, flags without what they would take."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters


class Command(TyperCommand):
    """A command whose help is laid out for the width of the terminal."""

    def format_help(self, ctx: Any, _formatter: Any) -> None:
        """Print usage, prose, examples, arguments and options."""
        console = Console(highlight=False, markup=False, emoji=False)
        width = min(console.width, _WIDEST)
        console.print(Text(self.get_usage(ctx).strip(), "bold"), soft_wrap=True)
        for line in _prose(self.help or "", width):
            console.print(line, soft_wrap=True)
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            parameters = [
                each
                for each in self.get_params(ctx)
                if each.param_type_name == kind and not getattr(each, "hidden", False)
            ]
            if parameters:
                console.print(Text(f"\n{title}:", "bold"))
            for parameter in parameters:
                for text in _described(parameter, ctx, width):
                    console.print(text, soft_wrap=True)


def _prose(docstring: str, width: int) -> Iterator[str]:
    """The paragraphs of a docstring, filled; examples are whole, so that they can be copied."""
    prose, _, examples = inspect.cleandoc(docstring).partition(_EXAMPLES)
    for paragraph in filter(None, prose.strip().split("\n\n")):
        yield ""
        yield textwrap.fill(" ".join(paragraph.split()), width, break_on_hyphens=False)
    if examples:
        yield f"\n{_EXAMPLES}"
    for example in filter(None, (line.strip() for line in examples.splitlines())):
        yield f"{' ' * _INDENT}{example}"


def _described(parameter: Any, ctx: Any, width: int) -> Iterator[Text]:
    """The names of a parameter, what it takes, and its help beside or below them."""
    names, values = _names(parameter), _values(parameter, ctx)
    head = " ".join(part for part in (names, values) if part)
    notes = [note for note in (_range(parameter), _default(parameter, ctx)) if note]
    text = " ".join([getattr(parameter, "help", None) or "", *(f"[{note}]" for note in notes)])
    column = _INDENT + _NAMES
    lines = textwrap.wrap(text.strip(), width - column, break_on_hyphens=False) or [""]
    label = Text(" " * _INDENT).append(names, "cyan")
    label.append(head[len(names) :])
    if len(head) < _NAMES:
        yield label.append(" " * (column - _INDENT - len(head))).append(lines.pop(0))
    else:
        yield label
    for line in lines:
        yield Text(" " * column + line)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    # The short and the long one, then what turns it off.
    given = ", ".join(sorted(parameter.opts, key=len))
    off = ", ".join(sorted(parameter.secondary_opts, key=len))
    return f"{given} / {off}" if off else given


def _values(parameter: Any, ctx: Any) -> str:
    """What an option takes: nothing for a flag, its choices, or the kind of its value."""
    if parameter.param_type_name == "argument" or getattr(parameter, "is_flag", False):
        return ""
    if parameter.metavar:
        return str(parameter.metavar)
    kind = str(parameter.display_type_rich(ctx=ctx)).strip("<>")
    return f"[{kind}]" if "|" in kind else _TYPES.get(kind, kind.upper())


def _range(parameter: Any) -> str:
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least is None or parameter.param_type_name == "argument":
        return ""
    return f"{least:g} or more" if most is None else f"{least:g} to {most:,g}"


def _default(parameter: Any, ctx: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.get_default(ctx)
    if getattr(parameter, "is_flag", False) and parameter.secondary_opts:
        if default is None:
            return ""
        return f"default: {(parameter.opts if default else parameter.secondary_opts)[0]}"
    return f"default: {default}" if default not in {None, False, ""} else ""
