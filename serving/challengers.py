"""Registry of the challengers that one worker may have beside its champions."""

from pathlib import Path

from serving.challenger import Challenger
from serving.ledger import Ledger
from serving.slots import Slot
from serving.tally import Tally
from store.aliases import CHALLENGER, AliasLog
from store.bucket import Bucket


class Challengers:
    """At most one for each model, each with a board and a ledger of its own."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self._folder, self._bucket = folder, bucket
        self._ledgers: dict[str, Ledger] = {}
        # The router reads it at every request; only the agent's thread adds to it.
        self.by_model: dict[str, Challenger] = {}

    def add(self, model: str) -> tuple[Slot, Ledger]:
        """The slot and the ledger of whatever may challenge the champion of a model."""
        ledger = Ledger(self._folder / model)
        slot = Slot(AliasLog(self._bucket, model, CHALLENGER).name, ledger.board)
        self._ledgers[model] = ledger
        self.by_model[model] = Challenger(slot, model)
        return slot, ledger

    def tallies(self) -> tuple[Tally, ...]:
        """What this worker counted of the newest challenge of each model."""
        found = (challenger.tally() for challenger in list(self.by_model.values()))
        return tuple(tally for tally in found if tally is not None)

    def ledger(self, model: str) -> Ledger:
        return self._ledgers[model]
