"""What the tests in this folder did to the house, and what became of it; told at the end."""

import threading
from collections import Counter
from dataclasses import dataclass, field

_WIDTH = 58


@dataclass
class Tally:
    """Counts over a whole run of tests. `lost` are records, rows or versions that were promised."""

    injected: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    failed: int = 0
    published: int = 0
    steps: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def requests(self, sent: int, *, failed: int) -> None:
        """Requests that were sent to serving, and how many of them got no answer they should."""
        with self._lock:
            self.sent += sent
            self.failed += failed

    def versions(self, published: int) -> None:
        """Versions that became visible while faults struck."""
        with self._lock:
            self.published += published

    def holds(self, claim: bool, what: str) -> None:
        """Assert that something is still there, and count what is not."""
        if not claim:
            with self._lock:
                self.lost[what] += 1
        assert claim, what

    def __bool__(self) -> bool:
        return bool(self.injected or self.sent or self.published or self.lost)

    def lines(self) -> list[str]:
        """The tally as it is printed, kinds of faults first."""
        counted = [(kind, n) for kind, n in sorted(self.injected.items())]
        counted += [
            ("faults injected", sum(self.injected.values())),
            ("operations compared with the model", self.steps),
            ("requests sent", self.sent),
            ("requests failed that should not have", self.failed),
            ("versions published", self.published),
            ("lost", sum(self.lost.values())),
        ]
        counted += [(f"lost: {what}", n) for what, n in sorted(self.lost.items())]
        return [f"{what.ljust(_WIDTH, '.')}{n:>9,}" for what, n in counted]


TALLY = Tally()
