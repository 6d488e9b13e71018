"""A terminal of 80 columns, as people have it."""

import io

from rich.console import Console

COLUMNS = 80


def terminal(columns: int = COLUMNS) -> Console:
    """A console on a terminal of so many columns, without colours; `printed` reads it."""
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system=None,
        width=columns,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def printed(console: Console) -> str:
    """What was printed; every line fits the terminal, and nothing was cut."""
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert all(len(line) <= console.width for line in text.splitlines())
    return text
