"""Rollout policy: what the leader does next, as a pure function of the state of its host."""

from collections.abc import Sequence
from dataclasses import dataclass

from overnight.serving.host.workers import ModelReport

PREPARE_SECONDS = 120.0


@dataclass(frozen=True)
class HostState:
    """One model on this host: the board, what each living worker says, and what is still owed."""

    current: int
    proposed: int
    workers: Sequence[ModelReport]
    open_seconds: float = 0.0
    acknowledged: bool = True


@dataclass(frozen=True)
class Activate:
    """Every worker can answer with this generation: let it."""

    generation: int


@dataclass(frozen=True)
class Reject:
    """A worker cannot answer with the proposal: the current generation goes on."""

    generation: int
    reason: str


@dataclass(frozen=True)
class Acknowledge:
    """No request here is answered by anything older: say so in the store."""

    generation: int


@dataclass(frozen=True)
class Wait:
    """Workers are preparing, or finishing requests."""


@dataclass(frozen=True)
class Poll:
    """Nothing is open: ask the store for news."""


Action = Activate | Reject | Acknowledge | Wait | Poll


def decide(situation: HostState) -> Action:
    """At most one action.

    A proposal is flipped when all living workers have prepared it, and withdrawn as soon as one
    refuses it. The champion is acknowledged only once nobody can be answered by its predecessor.
    """
    if situation.proposed > situation.current:
        return _on_proposal(situation)
    if situation.current and not situation.acknowledged:
        drained = all(one.oldest_in_use >= situation.current for one in situation.workers)
        return Acknowledge(situation.current) if drained else Wait()
    return Poll()


def _on_proposal(situation: HostState) -> Action:
    proposed, workers = situation.proposed, situation.workers
    # One refusal is enough: all workers switch, or none does.
    for one in workers:
        if proposed in one.refused:
            return Reject(proposed, one.refused[proposed])
    prepared = sum(proposed in one.prepared for one in workers)
    if workers and prepared == len(workers):
        return Activate(proposed)
    if situation.open_seconds > PREPARE_SECONDS:
        return Reject(
            proposed,
            f"{prepared} of {len(workers)} workers had prepared it after {PREPARE_SECONDS:.0f} s",
        )
    return Wait()
