"""Registry of the challengers that one worker may have beside its champions."""

from pathlib import Path

from overnight.serving.challenger.router import Challenger
from overnight.serving.host.alias_state import AliasState
from overnight.serving.lifecycle.model_slots import ModelSlot
from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import CHALLENGER, AliasLog


class Challengers:
    """At most one for each model, each with a slot and an alias state of its own."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self._folder, self._bucket = folder, bucket
        self._alias_states: dict[str, AliasState] = {}
        # The router reads it at every request; only the agent's thread adds to it.
        self.by_model: dict[str, Challenger] = {}

    def add(self, model: str) -> tuple[ModelSlot, AliasState]:
        """The slot and the alias state of a model's challenger."""
        alias_state = AliasState(self._folder / model)
        slot = ModelSlot(AliasLog(self._bucket, model, CHALLENGER).name, alias_state.shared)
        self._alias_states[model] = alias_state
        self.by_model[model] = Challenger(slot, model)
        return slot, alias_state

    def stats(self) -> tuple[ChallengeStats, ...]:
        """What this worker counted of the newest challenge of each model."""
        # A copy: models are added by another thread meanwhile.
        newest = (challenger.stats() for challenger in list(self.by_model.values()))
        return tuple(stats for stats in newest if stats is not None)

    def alias_state(self, model: str) -> AliasState:
        return self._alias_states[model]
