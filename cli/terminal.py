"""Console, tables and progress bars of the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from overnight.store.printable import printable

_REDIRECTED_WIDTH = 200
# Names that people copy out of a table, and times, are never wrapped or cut.
_UNBROKEN = frozenset(
    {
        "version",
        "champion",
        "compared with",
        "candidate",
        "address",
        "file",
        "run",
        "flow",
        "outcome",
        "took",
        "id",
    }
)
_ZONE = "(UTC)"
_SECONDS = 60
# Called with a description, the bytes done, and the bytes in all.
Report = Callable[[str, int, int], None]


class _Console(Console):
    """A console on which names and reasons from outside cannot move the cursor or hide lines."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


class _Table(Table):
    """A table whose names and times keep their whole width; other columns get what is left."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        for column, cell in zip(self.columns, cells, strict=False):
            if column.no_wrap and isinstance(cell, str):
                column.min_width = max(column.min_width or 0, cell_len(printable(cell)))
        super().add_row(*cells, **options)


def open_console(*, stderr: bool = False) -> Console:
    """Standard output or error; pipes and logs get wide lines, terminals their own width."""
    width = None if Console(stderr=stderr).is_terminal else _REDIRECTED_WIDTH
    # Reasons and names are typed by people: brackets and colons in them are no markup.
    return _Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def new_table(*columns: str, title: str | None = None) -> Table:
    """A table that never breaks versions, addresses and times; it has no lines between columns."""
    headers = [
        # Longer words than fit are broken and not cut.
        Column(name, no_wrap=name in _UNBROKEN or _ZONE in name, overflow="fold")
        for name in columns
    ]
    # Tables of two unnamed columns, such as lineage, have no header row.
    return _Table(
        *headers,
        title=title,
        title_justify="left",
        show_header=any(columns),
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


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


def format_time(at: datetime | str | None) -> str:
    """A time to the minute in UTC, as names of versions and runs have it; empty for None.

    The zone is named where it is shown: in the header of a column, or behind it in a sentence.
    """
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else ""


def format_seconds(seconds: float) -> str:
    """A duration: `4.2 s`, `3 min 7 s`, `2 h 5 min`."""
    if seconds < _SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _SECONDS)
    hours, minutes = divmod(minutes, _SECONDS)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def shorten(text: str, longest: int) -> str:
    """The beginning of a text up to the end of a word, and a mark where something is left out."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 1].rpartition(' ')[0] or text[: longest - 1]}…"
