"""Text for people: without characters that a terminal or a page obeys, and numbers as words are."""

import re
from math import isfinite

# Control characters but tab and line end, and those that turn the direction of writing around.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""The text, with such characters as their code: an escape becomes `\x1b`."""
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def figure(value: float) -> str:
    """A number in four digits, or all of a larger one's: 0.9907, 50,000; never 5e+04.

    A dash where there is none, as of a metric over no rows.
    """
    if not isfinite(value):
        return "\N{EN DASH}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def decimals(value: float) -> str:
    """A metric in four decimals, so that those of a column compare: 0.9900, 50,000, or a dash."""
    return f"{value:.4f}" if isfinite(value) and abs(value) < 1e4 else figure(value)


def share(value: float) -> str:
    """A share of one in percent: 99.07 %."""
    return f"{100 * value:.2f} %"


def points(difference: float) -> str:
    """A signed difference of two shares in percentage points, with a true minus: +0.12."""
    return f"{100 * difference:+.2f}".replace("-", "\N{MINUS SIGN}")
