"""Status of this host, as its routes report it: what its workers share beyond loaded versions."""

from dataclasses import dataclass
from pathlib import Path

from overnight.serving.challenger.status import ChallengeStatus, challenge_status
from overnight.serving.history.local_copy import History, Past
from overnight.serving.host.alias_state import AliasState, FollowerState
from overnight.serving.host.workers import counted
from overnight.serving.telemetry.metrics import Metrics, WorkerCounters
from overnight.serving.telemetry.traffic import Traffic, TrafficFile


@dataclass(frozen=True)
class _Model:
    champion: AliasState
    challenger: AliasState
    history: History


class HostStatus:
    """What the leader and all workers of a host leave in its folder; every worker only reads it."""

    def __init__(self, folder: Path, meter: Metrics, *, worker: str) -> None:
        """`meter` counts what this `worker` does."""
        self.meter = meter
        self._worker, self._workers = worker, folder / "workers"
        self._traffic = TrafficFile(folder)
        self._models: dict[str, _Model] = {}

    def add(
        self, model: str, champion: AliasState, challenger: AliasState, history: History
    ) -> None:
        """Report one more model, from its ledgers and its history."""
        self._models[model] = _Model(champion, challenger, history)

    def known(self, model: str) -> FollowerState:
        """What the leader noted of a model: refusals and sync errors."""
        return self._models[model].champion.known()

    def snapshots(self) -> dict[str, WorkerCounters]:
        """What every worker counted: ours now, the others' a second ago."""
        return counted(self._workers) | {self._worker: self.meter.snapshot()}

    def challenge(self, model: str) -> ChallengeStatus | None:
        """The newest challenge of a model on this host, if there is one."""
        ledger = self._models[model].challenger
        return challenge_status(ledger.known(), ledger.ended(), self.snapshots().values())

    def past(self, model: str) -> Past:
        """Records and versions of a model, as far as this host remembers them."""
        return self._models[model].history.past()

    def report(self, model: str, version: str) -> bytes | None:
        """The report of a version as HTML, if it is remembered."""
        return self._models[model].history.report(version)

    def traffic(self) -> Traffic:
        """What all workers of the host answered in the last minutes."""
        return self._traffic.read()


class StandaloneStatus:
    """The status of a process without a store and without other workers: its own counters alone."""

    def __init__(self, meter: Metrics | None = None) -> None:
        self.meter = meter or Metrics()

    def known(self, _model: str) -> FollowerState:
        return FollowerState()

    def snapshots(self) -> dict[str, WorkerCounters]:
        return {"alone": self.meter.snapshot()}

    def challenge(self, _model: str) -> ChallengeStatus | None:
        return None

    def past(self, _model: str) -> Past:
        return Past()

    def report(self, _model: str, _version: str) -> bytes | None:
        return None

    def traffic(self) -> Traffic:
        return Traffic()


Status = HostStatus | StandaloneStatus
