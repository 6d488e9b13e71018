"""Agent of one worker: the background threads by which its host follows the store."""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overnight.serving.challenger.comparison import Comparisons
from overnight.serving.challenger.controller import ChallengeController
from overnight.serving.challenger.router import Challenger, Router
from overnight.serving.history.local_copy import HistoryFile
from overnight.serving.history.sync import TICK_SECONDS, HistorySync
from overnight.serving.host.alias_state import AliasState
from overnight.serving.host.workers import LeaderLock, WorkerRegistration, read_counters
from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.serving.lifecycle.follow_context import FollowContext
from overnight.serving.lifecycle.liveness import Liveness
from overnight.serving.lifecycle.load_notes import LoadNotes
from overnight.serving.lifecycle.loader import VersionLoader
from overnight.serving.lifecycle.memory_budget import DEFAULT_BYTES, MemoryBudget
from overnight.serving.lifecycle.model_slots import ModelSlot, ModelSlots
from overnight.serving.lifecycle.probe import ChildProbe, Probe
from overnight.serving.lifecycle.watcher import Watcher
from overnight.serving.prediction_log.shipper import SegmentShipper
from overnight.serving.prediction_log.spool import PredictionSpool, SpoolConfig
from overnight.serving.status import HostStatus
from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.serving.telemetry.metrics import Metrics, PredictionCounters
from overnight.serving.telemetry.traffic import TrafficFile, TrafficSampler
from overnight.store.errors import BadKey, StoreError
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import Trust

logger = logging.getLogger(__name__)

DISCOVER_SECONDS = 30.0
LEADER_SECONDS = 0.5
COUNTERS_SECONDS = 0.5
LIST_SECONDS = 0.5
BEAT_SECONDS = 0.5
FAILED_SECONDS = 1.0


@dataclass(frozen=True)
class FollowConfig:
    """The models that a worker follows, and how. `models` empty: every model in the store.

    `server_started`: when the server of this worker started, in seconds since 1970.
    `prediction_log`: where answers are recorded; None to record none.
    """

    folder: Path
    models: tuple[str, ...]
    replica: str
    poll_seconds: float
    threads: int
    workers: int
    loaded_bytes: int = DEFAULT_BYTES
    server_started: float = 0.0
    prediction_log: SpoolConfig | None = None


class HostAgent:
    """One worker of a host: it loads versions, and while it leads, follows the store for all.

    Each of its threads runs one `tick_…` method in a loop. They are apart so that none waits for
    another: a slow store delays neither loading nor counting, and a challenge no promotion.
    """

    def __init__(
        self,
        bucket: Bucket,
        following: FollowConfig,
        trust: Trust,
        probe: Probe | None = None,
        *,
        signer: Callable[[], Signer] | None = None,
    ) -> None:
        """`probe` tries new versions; by default each is loaded in a process of its own.

        `signer` signs withdrawals of challengers.
        """
        # Leaves first: every object is complete before it is handed to the next.
        folder, workers = following.folder, following.folder / "workers"
        self._bucket, self._following = bucket, following
        self.slots = ModelSlots(expected=following.models)
        # The router reads it at every request; only the loader's thread adds to it.
        self.challengers: dict[str, Challenger] = {}
        spool_config = following.prediction_log
        self.predictions = predictions = PredictionSpool(spool_config) if spool_config else None
        self._shipper = (
            SegmentShipper(spool_config.folder, bucket, replica=following.replica)
            if spool_config
            else None
        )
        self.comparisons = comparisons = Comparisons(predictions)
        # Read by requests, which come once all of this is made.
        self.router = Router(
            self.slots,
            self.challengers,
            comparisons,
            eras=lambda model: self.status.history(model).eras,
        )
        self.registration = WorkerRegistration(workers)
        cache = DiskCache(folder / "cache", trust)
        self._context = FollowContext(
            bucket=bucket,
            cache=cache,
            probe=probe or ChildProbe(cache, folder, following.threads, following.workers),
            load_notes=LoadNotes(folder / "loading"),
            trust=trust,
            signer=signer,
            workers=workers,
            replica=following.replica,
            poll_seconds=following.poll_seconds,
            memory_budget=MemoryBudget(following.threads, following.loaded_bytes),
        )
        self._loader = VersionLoader(
            self.registration,
            bucket=bucket,
            cache=cache,
            memory_budget=self._context.memory_budget,
            load_notes=self._context.load_notes,
            workers=following.workers,
            server_started=following.server_started,
        )
        self._liveness = Liveness(self._loader)
        meter = Metrics(
            challenges=self._challenge_stats,
            loads=self._loader.loads,
            predictions=self._prediction_counters,
            comparison_queue_length=lambda: comparisons.waiting,
        )
        self.status = HostStatus(folder, meter, worker=self.registration.worker[:8])
        self._traffic_sampler = TrafficSampler(TrafficFile(folder), lambda: read_counters(workers))
        # The champion's and the challenger's state, by model.
        self._alias_states: dict[str, tuple[AliasState, AliasState]] = {}
        self._watchers: dict[str, Watcher] = {}
        self._controllers: dict[str, ChallengeController] = {}
        self._history_syncs: dict[str, HistorySync] = {}
        self._leadership = LeaderLock(folder / "leader.lock")
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        # Due at once, however long polls are and however lately the machine was started.
        self._discovered_at = -math.inf
        self._list_models()

    def start(self) -> None:
        """Load what this host served last, then follow. Returns when requests may come."""
        self._start(self.tick_heartbeat)
        _guarded(self._loader.tick)
        for tick in (
            self.tick_loader,
            self.tick_leader,
            self.tick_challenges,
            self.tick_history,
            self.tick_counters,
            self._tick_comparisons,
            self.tick_shipping,
            *([self.predictions.tick] if self.predictions else []),
        ):
            self._start(tick)

    def _start(self, tick: Callable[[], float]) -> None:
        thread = threading.Thread(target=self._run, args=(tick,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Let another worker lead, and leave the list of workers."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self.predictions is not None:
            self.predictions.close()
        self._leadership.release()
        self.registration.remove()

    def tick_heartbeat(self) -> float:
        """Every worker shows that it loads and answers. Returns seconds to rest."""
        # A copy: models are added by the loader's thread meanwhile.
        challengers = [challenger.slot for challenger in list(self.challengers.values())]
        if self._liveness.is_well([*self.slots.all(), *challengers]):
            self.registration.beat()
        return BEAT_SECONDS

    def tick_loader(self) -> float:
        """Every worker loads and frees versions. Returns seconds to rest."""
        if time.monotonic() - self._listed_at >= LIST_SECONDS:
            self._list_models()
        return self._loader.tick()

    def tick_leader(self) -> float:
        """The leader, once there is one, follows the champions. Returns seconds to rest."""
        if not self._leadership.take():
            return LEADER_SECONDS
        self._discover()
        rests = [_guarded(watcher.tick) for watcher in self._watchers.values()]
        return min(rests, default=self._following.poll_seconds)

    def tick_challenges(self) -> float:
        """The leader follows and judges the challengers. Returns seconds to rest."""
        if not self._leadership.held:
            return LEADER_SECONDS
        # A copy: models are added by the leader's thread meanwhile.
        rests = [_guarded(controller.tick) for controller in list(self._controllers.values())]
        return min(rests, default=LEADER_SECONDS)

    def tick_history(self) -> float:
        """The leader copies the deployment histories. Returns seconds to rest."""
        if not self._leadership.held:
            return LEADER_SECONDS
        # A copy: models are added by the loader's thread meanwhile.
        rests = [sync.tick() for sync in list(self._history_syncs.values())]
        return min(rests, default=TICK_SECONDS)

    def tick_counters(self) -> float:
        """Every worker publishes its counters; the leader samples them. Returns seconds to rest."""
        # A full disk must not end the sampling, nor fill the log.
        with suppress(OSError):
            self.registration.write_counters(self.status.meter.snapshot())
        rest = self._traffic_sampler.tick() if self._leadership.held else COUNTERS_SECONDS
        return min(rest, COUNTERS_SECONDS)

    def tick_shipping(self) -> float:
        """The leader ships closed segments of the prediction log. Returns seconds to rest."""
        if self._shipper is None or not self._leadership.held:
            return LEADER_SECONDS
        return self._shipper.tick()

    def _tick_comparisons(self) -> float:
        self.comparisons.lower_priority()
        return self.comparisons.tick()

    def _run(self, tick: Callable[[], float]) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(_guarded(tick))

    def _list_models(self) -> None:
        """Add the configured models, or those that a leader of this host has discovered."""
        self._listed_at = time.monotonic()
        folder = self._following.folder / "models"
        for model in self._following.models or sorted(path.name for path in folder.glob("*")):
            if model not in self._alias_states and _is_model(model):
                champion = AliasState(folder / model)
                challenger = AliasState(self._following.folder / "challengers" / model)
                slot = ModelSlot(model, champion.shared)
                challenger_slot = ModelSlot(f"{model}@{CHALLENGER}", challenger.shared)
                self.challengers[model] = Challenger(challenger_slot, model)
                history = HistoryFile(folder / model)
                # The champion first, so that where memory is short the challenger is refused.
                self._loader.add(slot, champion)
                self._loader.add(challenger_slot, challenger)
                self.status.add(model, champion, challenger, history)
                self._history_syncs[model] = HistorySync(
                    history, champion, model=model, bucket=self._bucket, trust=self._context.trust
                )
                self._alias_states[model] = champion, challenger
                # Last: from here on requests see the model, and read everything above.
                self.slots.add(slot)

    def _discover(self) -> None:
        """Follow the models in the store: list them often until there is one, then now and then."""
        if not self._following.models:
            pause = DISCOVER_SECONDS if self._watchers else self._following.poll_seconds
            if time.monotonic() - self._discovered_at >= pause:
                self._discovered_at = time.monotonic()
                self._make_folders()
        for model, (champion, challenger) in list(self._alias_states.items()):
            if model not in self._watchers:
                log = ModelRegistry(self._bucket, model, self._context.trust).champion
                self._watchers[model] = Watcher(champion, log, self._context, challenger=challenger)
                self._controllers[model] = ChallengeController(
                    model, challenger, champion, self._context
                )

    def _challenge_stats(self) -> tuple[ChallengeStats, ...]:
        """What this worker counted of the newest challenge of each model."""
        # A copy: models are added by the loader's thread meanwhile.
        newest = [challenger.stats() for challenger in list(self.challengers.values())]
        return tuple(stats for stats in newest if stats is not None)

    def _prediction_counters(self) -> PredictionCounters:
        if self.predictions is None or self._shipper is None:
            return PredictionCounters()
        return self.predictions.counters().model_copy(update={"shipped": self._shipper.shipped()})

    def _make_folders(self) -> None:
        """Make a folder for each model in the store; by it all workers of the host learn of it."""
        try:
            names = self._bucket.names_below("models")
        except StoreError as error:
            logger.warning("models cannot be listed: %s", error)
            return
        for name in filter(_is_model, names):
            (self._following.folder / "models" / name).mkdir(parents=True, exist_ok=True)


def _guarded(tick: Callable[[], float]) -> float:
    """Run a tick; a failure is logged, and stops neither later ticks nor those of other models."""
    try:
        return tick()
    except Exception:
        logger.exception("a tick failed; trying again")
        return FAILED_SECONDS


def _is_model(name: str) -> bool:
    """Whether a name in a folder or a listing is a model's; others are not ours."""
    try:
        keys.check_model(name)
    except BadKey:
        return False
    return True
