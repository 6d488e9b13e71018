"""Rollout policy: what the leader does next, as a pure function of the state of its host."""

from collections.abc import Sequence
from dataclasses import dataclass

from overnight.serving.host.workers import ModelReport

# A worker that hangs must not hold up the host for ever; loading takes seconds at most.
PREPARE_SECONDS = 120.0


@dataclass(frozen=True)
class HostState:
    """One alias on this host: the shared numbers, and the report of each living worker.

    `open_seconds`: how long the proposal is open. `acknowledged`: the store knows that the
    current generation serves.
    """

    current: int
    proposed: int
    workers: Sequence[ModelReport]
    open_seconds: float = 0.0
    acknowledged: bool = True


@dataclass(frozen=True)
class Activate:
    """Every worker has loaded this generation: switch to it."""

    generation: int


@dataclass(frozen=True)
class Reject:
    """A worker cannot load the proposal: the current generation stays."""

    generation: int
    reason: str


@dataclass(frozen=True)
class Acknowledge:
    """No request here is answered by anything older: write so to the store."""

    generation: int


@dataclass(frozen=True)
class Wait:
    """Workers are preparing, or finishing requests."""


@dataclass(frozen=True)
class Poll:
    """Nothing is open: read the log for newer records."""


Action = Activate | Reject | Acknowledge | Wait | Poll


def decide(state: HostState) -> Action:
    """The next action.

    A proposal is activated when all living workers have prepared it, and rejected as soon as one
    refuses it. A version is acknowledged only once no request can be answered by its predecessor.
    """
    if state.proposed > state.current:
        return _on_proposal(state)
    if state.current and not state.acknowledged:
        drained = all(worker.oldest_in_use >= state.current for worker in state.workers)
        return Acknowledge(state.current) if drained else Wait()
    return Poll()


def _on_proposal(state: HostState) -> Action:
    proposed, workers = state.proposed, state.workers
    # One refusal is enough: all workers switch, or none does.
    for worker in workers:
        if proposed in worker.refused:
            return Reject(proposed, worker.refused[proposed])
    prepared = sum(proposed in worker.prepared for worker in workers)
    if workers and prepared == len(workers):
        return Activate(proposed)
    if state.open_seconds > PREPARE_SECONDS:
        return Reject(
            proposed,
            f"{prepared} of {len(workers)} workers had prepared it after {PREPARE_SECONDS:.0f} s",
        )
    return Wait()
