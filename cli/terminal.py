"""The terminal: tables that keep names whole, wide where nobody reads them, and progress bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Column, Table

_UNWATCHED_WIDTH = 200
# Names that people copy out of a table are never cut.
_WHOLE = {"version": 28, "champion": 28, "address": 24, "file": 12}
# Told of what is being done, and of bytes done, of so many.
Told = Callable[[str, int, int], None]


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


@contextmanager
def bar() -> Iterator[Told]:
    """Draw on standard error a bar for each thing that is being done; nothing when redirected."""
    # Slow to import, and most commands draw none.
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {}

        def told(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield told


def size(count: int) -> str:
    """Bytes in words."""
    number, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1_000:
            break
        number, unit = number / 1_000, larger
    return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
