"""Abbreviated repr of client input for error messages, whose length must not depend on it."""

from collections.abc import Iterable
from itertools import islice


def kind_of(value: object) -> str:
    """The kind of a value, with the value itself where it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return f"the text {value[:40]!r}"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
        case _:
            return f"{value}"


def names_in(sent: Iterable[str]) -> str:
    """The first ten keys of an object, each abbreviated."""
    return str([name[:40] for name in islice(sent, 10)])
