"""Agent of one worker: the threads beside its requests, by which its host follows the store."""

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
from overnight.serving.challenger.registry import Challengers
from overnight.serving.challenger.router import Router
from overnight.serving.history.local_copy import History
from overnight.serving.history.sync import TICK_SECONDS, HistorySync
from overnight.serving.host.alias_state import AliasState
from overnight.serving.host.workers import LeaderLock, WorkerRegistration, counted
from overnight.serving.lifecycle.disk_cache import Cache
from overnight.serving.lifecycle.loader import VersionLoader
from overnight.serving.lifecycle.memory_budget import DEFAULT_BYTES, MemoryBudget
from overnight.serving.lifecycle.model_slots import ModelSlot, ModelSlots
from overnight.serving.lifecycle.watcher import FollowContext, Watcher
from overnight.serving.status import HostStatus
from overnight.serving.telemetry.metrics import Metrics
from overnight.serving.telemetry.traffic import TrafficFile, TrafficSampler
from overnight.store.errors import BadKey, StoreError
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import CHAMPION, AliasLog
from overnight.store.trust.trusted_keys import Trust

logger = logging.getLogger(__name__)

DISCOVER_SECONDS = 30.0
LEADER_SECONDS = 0.5
LIST_SECONDS = 0.5
FAILED_SECONDS = 1.0


@dataclass(frozen=True)
class FollowConfig:
    """What a worker follows, and how. `models` empty: every model in the store."""

    folder: Path
    models: tuple[str, ...]
    replica: str
    poll_seconds: float
    threads: int
    workers: int
    loaded_bytes: int = DEFAULT_BYTES


class HostAgent:
    """One worker of a host: always a loader of versions, and the watchers while it leads.

    Each of its threads runs one method here in a loop: `attend`, `lead`, `recall`, `observe`, and
    the comparisons'. A tick of one never waits for a tick of another.
    """

    def __init__(self, bucket: Bucket, following: FollowConfig, trust: Trust) -> None:
        # Leaves first: whatever is handed on here is finished by then.
        folder, workers = following.folder, following.folder / "workers"
        self._bucket, self._following = bucket, following
        self.slots = ModelSlots(expected=following.models)
        self.challengers = Challengers(folder / "challengers", bucket)
        self.comparisons = comparisons = Comparisons()
        self.router = Router(self.slots, self.challengers.by_model, comparisons)
        self.presence = WorkerRegistration(workers)
        meter = Metrics(
            challenges=self.challengers.tallies,
            comparison_queue_length=lambda: comparisons.waiting,
        )
        self.status = HostStatus(folder, meter, worker=self.presence.worker[:8])
        self._historians: dict[str, HistorySync] = {}
        self._observer = TrafficSampler(TrafficFile(folder), lambda: counted(workers))
        self._context = FollowContext(
            bucket=bucket,
            cache=Cache(folder / "cache", trust),
            workers=workers,
            replica=following.replica,
            poll_seconds=following.poll_seconds,
            room=MemoryBudget(following.threads, following.loaded_bytes),
        )
        self._attendant = VersionLoader(
            self.presence,
            bucket=bucket,
            cache=self._context.cache,
            room=self._context.room,
            workers=following.workers,
            note_load=meter.load,
        )
        self._ledgers: dict[str, AliasState] = {}
        self._watchers: dict[str, Watcher] = {}
        self._umpires: dict[str, ChallengeController] = {}
        self._leadership = LeaderLock(folder / "leader.lock")
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        # Due at once, however long polls are and however lately the machine was started.
        self._discovered_at = -math.inf
        self._list_models()

    def start(self) -> None:
        """Load what this host answered with last, then follow. Returns when requests may come."""
        _guarded(self._attendant.look)
        for look in (self._compare, self.attend, self.lead, self.recall, self.observe):
            thread = threading.Thread(target=self._run, args=(look,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let another worker lead, and be counted no longer."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._leadership.give_up()
        self.presence.leave()

    def attend(self) -> float:
        """One tick of what every worker does; returns seconds to rest."""
        if time.monotonic() - self._listed_at >= LIST_SECONDS:
            self._list_models()
            # Versions are prepared and freed even on a disk that is full.
            with suppress(OSError):
                self.note_counts()
        return self._attendant.look()

    def note_counts(self) -> None:
        """Let the other workers of the host know what this one counted."""
        self.presence.note_counts(self.status.meter.snapshot())

    def lead(self) -> float:
        """One tick of what the leader does; returns seconds to rest."""
        if not self._leadership.take():
            return LEADER_SECONDS
        self._discover()
        looks = [one.look for one in self._watchers.values()]
        looks += [one.look for one in self._umpires.values()]
        rests = [_guarded(look) for look in looks]
        return min(rests, default=self._following.poll_seconds)

    def recall(self) -> float:
        """One tick of what the leader gathers for the page; returns seconds to rest."""
        if not self._leadership.held:
            return LEADER_SECONDS
        # Models are added by another thread meanwhile.
        return min([one.look() for one in list(self._historians.values())], default=TICK_SECONDS)

    def observe(self) -> float:
        """One tick of the leader's eye on all workers' counters; returns seconds to rest."""
        return self._observer.look() if self._leadership.held else LEADER_SECONDS

    def _compare(self) -> float:
        """One tick of what compares versions, in a thread that gives way to those that answer."""
        self.comparisons.be_gentle()
        return self.comparisons.look()

    def _run(self, look: Callable[[], float]) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(_guarded(look))

    def _list_models(self) -> None:
        """Attend to the configured models, or to those a leader of this host has discovered."""
        self._listed_at = time.monotonic()
        folder = self._following.folder / "models"
        for model in self._following.models or sorted(path.name for path in folder.glob("*")):
            if model not in self._ledgers and _is_model(model):
                ledger = AliasState(folder / model)
                slot = ModelSlot(model, ledger.board)
                challenger, challenger_ledger = self.challengers.add(model)
                history = History(folder / model)
                # First the champion: what it takes is then taken into account for its challenger.
                self._attendant.attend(slot, ledger)
                self._attendant.attend(challenger, challenger_ledger)
                self.status.add(model, ledger, challenger_ledger, history)
                self._historians[model] = HistorySync(
                    history, ledger, model=model, bucket=self._bucket
                )
                self._ledgers[model] = ledger
                # Last: from here on requests see it, and ask for everything above.
                self.slots.add(slot)

    def _discover(self) -> None:
        """Ask the store which models there are: often until one is known, then now and then."""
        if not self._following.models:
            pause = DISCOVER_SECONDS if self._watchers else self._following.poll_seconds
            if time.monotonic() - self._discovered_at >= pause:
                self._discovered_at = time.monotonic()
                self._make_folders()
        for model, ledger in list(self._ledgers.items()):
            if model not in self._watchers:
                challenger = self.challengers.ledger(model)
                log = AliasLog(self._bucket, model, CHAMPION)
                self._watchers[model] = Watcher(ledger, log, self._context, challenger=challenger)
                self._umpires[model] = ChallengeController(model, challenger, ledger, self._context)

    def _make_folders(self) -> None:
        try:
            names = self._bucket.names_below("models")
        except StoreError as error:
            logger.warning("models cannot be listed: %s", error)
            return
        for name in filter(_is_model, names):
            (self._following.folder / "models" / name).mkdir(parents=True, exist_ok=True)


def _guarded(look: Callable[[], float]) -> float:
    """One tick; one that fails ends following for good neither here nor for another model."""
    try:
        return look()
    except Exception:
        logger.exception("a tick failed; trying again")
        return FAILED_SECONDS


def _is_model(name: str) -> bool:
    """Whether a name found in a folder or a listing is a model's; others are none of ours."""
    try:
        keys.check_model(name)
    except BadKey:
        return False
    return True
