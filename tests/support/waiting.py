"""Polls for a condition that another process or thread brings about."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(
    look: Callable[[], Found], *, seconds: float = 120, what: str = "what was awaited"
) -> Found:
    """The first true answer of `look`, or a failed test that says what did not happen."""
    began = time.monotonic()
    while not (found := look()):
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds:.0f} s: {what}"
        # Looking costs whoever is looked at; after ten seconds half a second matters to nobody.
        time.sleep(min(max(0.05, waited / 20), 0.5))
    return found
