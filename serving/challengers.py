"""The challengers of one worker: who is loaded beside which champion, and who watches them."""

from pathlib import Path

from serving.attendant import Attendant
from serving.challenger import Challenger
from serving.comparing import Comparisons
from serving.ledger import Ledger
from serving.slots import Slot
from serving.tally import Tally
from store.bucket import Bucket
from store.challenging import challenger_log


class Challengers:
    """At most one for each model, each with a board and a ledger of its own."""

    def __init__(self, folder: Path, attendant: Attendant, bucket: Bucket) -> None:
        self._folder, self._attendant, self._bucket = folder, attendant, bucket
        self._ledgers: dict[str, Ledger] = {}
        self._pairs: list[tuple[Slot, Challenger]] = []
        self.comparisons = Comparisons()

    def expect(self, champion: Slot, ledger: Ledger) -> None:
        """Attend to a champion, and to whatever may challenge it; to both or to neither."""
        model = champion.model
        own = Ledger(self._folder / model)
        slot = Slot(challenger_log(self._bucket, model).name, own.board)
        self._ledgers[model] = own
        # First the champion: what it takes is then taken into account for its challenger.
        self._attendant.attend(champion, ledger)
        self._attendant.attend(slot, own)
        self._pairs.append((champion, Challenger(slot, model, self.comparisons)))

    def attach(self) -> None:
        """Let champions know who is loaded beside them; where nobody is, they need not look."""
        for champion, challenger in self._pairs:
            champion.challenger = challenger if challenger.slot.loaded() else None

    def compare(self) -> float:
        """One tick of the comparing thread; returns seconds to rest."""
        return self.comparisons.look()

    def tallies(self) -> tuple[Tally, ...]:
        """What this worker counted of the newest challenge of each model."""
        found = (challenger.tally() for _, challenger in self._pairs)
        return tuple(tally for tally in found if tally is not None)

    def ledger(self, model: str) -> Ledger:
        return self._ledgers[model]
