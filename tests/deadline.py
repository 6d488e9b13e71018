"""Waits for what another process or thread will bring about, without sleeping for a guess."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(
    look: Callable[[], Found], *, seconds: float = 120, what: str = "what was awaited"
) -> Found:
    """The first true answer of `look`, or a failed test that says what did not happen."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return found
