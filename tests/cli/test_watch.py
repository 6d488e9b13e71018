"""`--watch` draws again until Ctrl-C, on a terminal only."""

import pytest
from rich.console import Console

from overnight.cli.errors import WrongArgument
from overnight.cli.watch import watch
from tests.support.terminal import printed, terminal


def test_it_draws_until_it_is_interrupted() -> None:
    console, drawn = terminal(), []

    def draw() -> None:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(1)
        console.print(f"drawing {len(drawn)}")

    watch(draw, console, interval_seconds=0)

    assert "drawing 1" in printed(console)
    assert "drawing 2" in printed(console)
    assert "UTC, Ctrl-C ends" in printed(console)


def test_without_a_terminal_it_is_refused() -> None:
    with pytest.raises(WrongArgument, match="needs a terminal"):
        watch(lambda: None, Console(force_terminal=False))
