"""Counts of injected faults, requests and failed checks, printed at the end of a test session."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

MINUTES, SEED = "--faults-minutes", "--faults-seed"
DEFAULT_SEED = 20261123
_WIDTH = 58


def is_thorough(config: pytest.Config) -> bool:
    """Whether faults are what this run is about, however short; `make faults` says so.

    The options are only there when a folder that has them is named on the command line.
    """
    return config.getoption(MINUTES, None) is not None


@dataclass
class Tally:
    """Counts over a whole run of tests. `lost` are promises that were not kept, by what was lost.

    `cut` requests were in the hands of a worker that was killed; they were asked again.
    """

    injected: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    failed: int = 0
    cut: int = 0
    published: int = 0
    steps: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def inject(self, kind: str) -> None:
        """Something was killed, cut, filled, raced or spoilt."""
        with self._lock:
            self.injected[kind] += 1

    def requests(self, sent: int, *, failed: int, cut: int = 0) -> None:
        """Requests that were sent to serving, and how many of them got no answer they should."""
        with self._lock:
            self.sent += sent
            self.failed += failed
            self.cut += cut

    def versions(self, published: int) -> None:
        """Versions that became visible while faults struck."""
        with self._lock:
            self.published += published

    def step(self) -> None:
        """An operation was compared with the plain model of the store."""
        with self._lock:
            self.steps += 1

    @contextmanager
    def counts(self, *expected: type[Exception]) -> Iterator[None]:
        """Go on when one of these comes, which may be, and count its kind."""
        try:
            yield
        except expected as error:
            with self._lock:
                self.refused[type(error).__name__] += 1

    def lose(self, what: str) -> None:
        """A promise was not kept."""
        with self._lock:
            self.lost[what] += 1

    def holds(self, claim: bool, what: str) -> None:
        """Assert that a promise was kept, and count one that was not."""
        with self.keeps(what):
            assert claim, what

    @contextmanager
    def keeps(self, what: str) -> Iterator[None]:
        """Count `what` as lost when looking at it fails; it fails all the same."""
        try:
            yield
        except Exception as error:
            self.lose(what)
            error.add_note(f"lost: {what}")
            raise

    def reported(self) -> dict[str, Any]:
        """All counts, as plain values that one process can send another."""
        return {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in vars(self).items()
            if not name.startswith("_")
        }

    def add(self, reported: Mapping[str, Any]) -> None:
        """Count what another process has `told`."""
        for name, value in reported.items():
            counted = getattr(self, name)
            if isinstance(counted, Counter):
                counted.update(value)
            else:
                setattr(self, name, counted + value)

    def __bool__(self) -> bool:
        return bool(self.injected or self.sent or self.published or self.lost)

    def lines(self) -> list[str]:
        """The tally as it is printed, kinds of faults first."""
        counted = [
            *sorted(self.injected.items()),
            ("faults injected", sum(self.injected.values())),
            ("operations compared with the model", self.steps),
            ("requests sent", self.sent),
            ("requests cut by a worker's death and asked again", self.cut),
            ("requests failed that should not have", self.failed),
            ("versions published", self.published),
            *((f"refused: {kind}", n) for kind, n in sorted(self.refused.items())),
            ("lost", sum(self.lost.values())),
            *((f"lost: {what}", n) for what, n in sorted(self.lost.items())),
        ]
        return [f"{what.ljust(_WIDTH, '.')}{n:>9,}" for what, n in counted]


TALLY = Tally()
