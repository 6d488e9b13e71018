"""`--watch`: what a command prints, drawn again every few seconds until Ctrl-C."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console

from overnight.cli.errors import WrongArgument
from overnight.cli.terminal import format_time

INTERVAL_SECONDS = 3.0


def watch(
    draw: Callable[[], object], console: Console, *, interval_seconds: float = INTERVAL_SECONDS
) -> None:
    """Draw again and again, each time on an empty screen; Ctrl-C ends it.

    Raises:
        WrongArgument: the output is no terminal.
    """
    if not console.is_terminal:
        raise WrongArgument("--watch needs a terminal; without it the command prints once")
    try:
        while True:
            # Captured first, so that the screen is not empty while the store and Prefect answer.
            with console.capture() as captured:
                draw()
            console.clear()
            # Rendered already: printed once more, its colours would be shown as codes.
            console.file.write(captured.get())
            console.print(f"{format_time(datetime.now(UTC))} UTC, Ctrl-C ends", style="dim")
            time.sleep(interval_seconds)
    except KeyboardInterrupt:
        console.print()
