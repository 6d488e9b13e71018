"""The terminal: tables that keep names whole, wide when no person looks at them."""

from rich.console import Console
from rich.table import Column, Table

_UNWATCHED_WIDTH = 200
# Names that people copy out of a table are never cut.
_WHOLE = {"version": 28, "champion": 28, "address": 24, "file": 12}


def open_console() -> Console:
    """Standard output; pipes and logs get wide lines, terminals their own width.

    What people typed is printed as they typed it: brackets and colons are no markup.
    """
    width = None if Console().is_terminal else _UNWATCHED_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def new_table(*columns: str, title: str | None = None) -> Table:
    """A table whose columns keep what people copy."""
    shown = [Column(name, min_width=_WHOLE.get(name), no_wrap=name in _WHOLE) for name in columns]
    return Table(*shown, title=title, title_justify="left", show_header=any(columns))
