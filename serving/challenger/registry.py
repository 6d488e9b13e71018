"""Registry of the challengers that one worker may have beside its champions."""

from pathlib import Path

from overnight.serving.challenger.router import Challenger
from overnight.serving.host.alias_state import AliasState
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import CHALLENGER, AliasLog


class Challengers:
    """At most one for each model, each with a board and a ledger of its own."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self._folder, self._bucket = folder, bucket
        self._ledgers: dict[str, AliasState] = {}
        # The router reads it at every request; only the agent's thread adds to it.
        self.by_model: dict[str, Challenger] = {}

    def add(self, model: str) -> tuple[ModelSlot, AliasState]:
        """The slot and the ledger of whatever may challenge the champion of a model."""
        ledger = AliasState(self._folder / model)
        slot = ModelSlot(AliasLog(self._bucket, model, CHALLENGER).name, ledger.board)
        self._ledgers[model] = ledger
        self.by_model[model] = Challenger(slot, model)
        return slot, ledger

    def tallies(self) -> tuple[ChallengeStats, ...]:
        """What this worker counted of the newest challenge of each model."""
        found = (challenger.tally() for challenger in list(self.by_model.values()))
        return tuple(tally for tally in found if tally is not None)

    def ledger(self, model: str) -> AliasState:
        return self._ledgers[model]
