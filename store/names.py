"""Names that were mistyped: which of those that exist was meant."""

import difflib
from collections.abc import Collection


def nearest(name: str, known: Collection[str]) -> str:
    """Words for an error: the nearest of the known names, or all of them."""
    if close := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {close[0]!r}?"
    return f"known are: {', '.join(sorted(known)) or 'none'}"
