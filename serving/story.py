"""What is known beyond the versions themselves: refusals, trouble, age, and what was counted."""

import time
from typing import Protocol

from serving.ledger import Known
from serving.metrics import Meter, Snapshot
from serving.slots import Slot


class Host(Protocol):
    """Who remembers for all workers of a host."""

    def known(self, model: str) -> Known:
        """What the leader noted of a model."""

    def snapshots(self) -> dict[str, Snapshot]:
        """What the other workers counted, by worker."""


class Story:
    """The host as one worker can tell it; without a host, of that worker alone."""

    def __init__(self, host: Host | None = None, *, worker: str = "alone") -> None:
        self._host = host
        self.worker = worker
        self.meter = Meter()

    def known(self, model: str) -> Known:
        """Refusals and trouble of a model."""
        return self._host.known(model) if self._host else Known()

    def snapshots(self) -> dict[str, Snapshot]:
        """What every worker counted: ours now, the others' a second ago."""
        others = self._host.snapshots() if self._host else {}
        return others | {self.worker: self.meter.snapshot()}

    def age_seconds(self, slot: Slot) -> float | None:
        """How long ago the store last said what is current; None when it never did."""
        looked = slot.board.looked_at_ms
        return round(max(time.time() - looked / 1000, 0.0), 3) if looked else None
