"""What is known beyond the versions themselves: refusals, trouble, and how old the knowledge is."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from serving.ledger import Known
from serving.slots import Slot


@dataclass(frozen=True)
class Story:
    """`known` tells what the host's leader noted of a model."""

    known: Callable[[str], Known] = lambda _: Known()

    def age_seconds(self, slot: Slot) -> float | None:
        """How long ago the store last said what is current; None when it never did."""
        looked = slot.board.looked_at_ms
        return round(max(time.time() - looked / 1000, 0.0), 3) if looked else None
