"""What a client sent, told back to it: never all of it, for it may be as long as a body."""

from collections.abc import Iterable
from itertools import islice


def kind_of(value: object) -> str:
    """A value in a few words."""
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
    """The first names of an object that a client sent, cut short like all that is told back."""
    return str([name[:40] for name in islice(sent, 10)])
