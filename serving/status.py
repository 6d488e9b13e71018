"""Status of this host, as its routes report it: what its workers share beyond loaded versions."""

from dataclasses import dataclass
from pathlib import Path

from overnight.serving.challenger.status import ChallengeStatus, challenge_status
from overnight.serving.history.candidates import CandidateList
from overnight.serving.history.local_copy import DeploymentHistory, HistoryFile
from overnight.serving.host.alias_state import AliasState, FollowerState
from overnight.serving.host.workers import read_counters
from overnight.serving.telemetry.metrics import Metrics, WorkerCounters
from overnight.serving.telemetry.traffic import Traffic, TrafficFile
from overnight.store.registry.manifest import Finding


@dataclass(frozen=True)
class _Model:
    champion: AliasState
    challenger: AliasState
    history: HistoryFile


class HostStatus:
    """Reads what the leader and all workers of a host write to its folder."""

    def __init__(self, folder: Path, meter: Metrics, *, worker: str) -> None:
        """`meter` counts the requests of this `worker`."""
        self.meter = meter
        self._worker, self._workers = worker, folder / "workers"
        self._traffic = TrafficFile(folder)
        self._models: dict[str, _Model] = {}

    def add(
        self, model: str, champion: AliasState, challenger: AliasState, history: HistoryFile
    ) -> None:
        """Report one more model, from the state of its aliases and its history."""
        self._models[model] = _Model(champion, challenger, history)

    def follower_state(self, model: str) -> FollowerState:
        """How the leader follows the champion of a model: refusals and sync errors."""
        return self._models[model].champion.follower_state()

    def snapshots(self) -> dict[str, WorkerCounters]:
        """The counters of every worker: of this one now, of the others at most a second ago."""
        return read_counters(self._workers) | {self._worker: self.meter.snapshot()}

    def challenge(self, model: str) -> ChallengeStatus | None:
        """The newest challenge of a model on this host, if there is one."""
        state = self._models[model].challenger
        return challenge_status(
            state.follower_state(), state.ended_challenge(), self.snapshots().values()
        )

    def history(self, model: str) -> DeploymentHistory:
        """Records and versions of a model, as far as this host has copied them."""
        return self._models[model].history.read()

    def report(self, model: str, version: str) -> bytes | None:
        """The report of a version as HTML, if there is a copy."""
        return self._models[model].history.report(version)

    def candidates(self, model: str) -> CandidateList:
        """All candidates of a model, as far as this host has copied them."""
        return self._models[model].history.candidates.read()

    def findings(self, model: str, candidate: str) -> tuple[Finding, ...] | None:
        """What the gates found of a listed candidate; None for any other."""
        return self._models[model].history.candidates.findings(candidate)

    def manifest(self, model: str, version: str) -> bytes | None:
        """The manifest of a version as it was published, if there is a copy."""
        return self._models[model].history.candidates.manifest(version)

    def traffic(self) -> Traffic:
        """The traffic of all workers of the host in the last minutes."""
        return self._traffic.read()


class StandaloneStatus:
    """The status of a process without a store and without other workers: its own counters alone."""

    def __init__(self, meter: Metrics | None = None) -> None:
        self.meter = meter or Metrics()

    def follower_state(self, _model: str) -> FollowerState:
        return FollowerState()

    def snapshots(self) -> dict[str, WorkerCounters]:
        return {"alone": self.meter.snapshot()}

    def challenge(self, _model: str) -> ChallengeStatus | None:
        return None

    def history(self, _model: str) -> DeploymentHistory:
        return DeploymentHistory()

    def report(self, _model: str, _version: str) -> bytes | None:
        return None

    def candidates(self, _model: str) -> CandidateList:
        return CandidateList()

    def findings(self, _model: str, _candidate: str) -> tuple[Finding, ...] | None:
        return None

    def manifest(self, _model: str, _version: str) -> bytes | None:
        return None

    def traffic(self) -> Traffic:
        return Traffic()


Status = HostStatus | StandaloneStatus
