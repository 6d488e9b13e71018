"""What is known beyond the versions themselves: refusals, trouble, age, and what was counted."""

import time
from typing import Protocol

from serving.history import Past
from serving.ledger import Known
from serving.metrics import Meter, Snapshot
from serving.recollection import Recollection
from serving.slots import Slot
from serving.standing import Standing
from serving.traffic import Traffic


class Host(Protocol):
    """Who remembers for all workers of a host."""

    recollection: Recollection

    def known(self, model: str) -> Known:
        """What the leader noted of a model."""

    def snapshots(self) -> dict[str, Snapshot]:
        """What the other workers counted, by worker."""

    def challenge(self, model: str) -> Standing | None:
        """How the newest challenge of a model stands."""


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

    def challenge(self, model: str) -> Standing | None:
        """How the newest challenge of a model stands on this host, if there is one."""
        return self._host.challenge(model) if self._host else None

    def past(self, model: str) -> Past:
        """Records and versions of a model, as far as this host remembers them."""
        return self._host.recollection.past(model) if self._host else Past()

    def report(self, model: str, version: str) -> bytes | None:
        """The report of a version as HTML, if it is remembered."""
        return self._host.recollection.report(model, version) if self._host else None

    def traffic(self) -> Traffic:
        """What all workers of the host answered in the last minutes."""
        return self._host.recollection.traffic() if self._host else Traffic()

    def age_seconds(self, slot: Slot) -> float | None:
        """How long ago the store last said what is current; None when it never did."""
        looked = slot.board.looked_at_ms
        return round(max(time.time() - looked / 1000, 0.0), 3) if looked else None
