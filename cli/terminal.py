"""Console, tables and progress bars of the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from overnight.store.printable import printable

_REDIRECTED_WIDTH = 200
# Names that people copy out of a table are never wrapped or cut.
_UNBROKEN = {"version": 28, "champion": 28, "address": 24, "file": 12}
# Called with a description, the bytes done, and the bytes in all.
Report = Callable[[str, int, int], None]


class _Console(Console):
    """A console on which names and reasons from outside cannot move the cursor or hide lines."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def open_console(*, stderr: bool = False) -> Console:
    """Standard output or error; pipes and logs get wide lines, terminals their own width."""
    width = None if Console(stderr=stderr).is_terminal else _REDIRECTED_WIDTH
    # Reasons and names are typed by people: brackets and colons in them are no markup.
    return _Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def new_table(*columns: str, title: str | None = None) -> Table:
    """A table that never breaks versions and addresses."""
    headers = [
        Column(name, min_width=_UNBROKEN.get(name), no_wrap=name in _UNBROKEN) for name in columns
    ]
    # Tables of two unnamed columns, such as lineage, have no header row.
    return Table(*headers, title=title, title_justify="left", show_header=any(columns))


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Draw a progress bar per description on standard error; nothing when redirected."""
    # Slow to import, and most commands draw none.
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield report


@contextmanager
def counting_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a progress bar of what is read on standard error; nothing when redirected."""
    # Slow to import, and most commands draw none.
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Remaining()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(printable(name), total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report


def format_bytes(count: int) -> str:
    """A number of bytes with its unit."""
    number, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1_000:
            break
        number, unit = number / 1_000, larger
    return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
