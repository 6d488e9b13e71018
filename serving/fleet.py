"""The fleet: what one worker runs beside its requests so that its host follows the store as one."""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from serving.attendant import Attendant
from serving.cache import Cache
from serving.challenger import Router
from serving.challengers import Challengers
from serving.comparing import Comparisons
from serving.keeping import DEFAULT_BYTES, Room
from serving.ledger import Known, Ledger
from serving.metrics import Snapshot
from serving.presence import Leadership, Presence, counted
from serving.recollection import Recollection
from serving.slots import Slot, Slots
from serving.standing import Standing, standing
from serving.story import Story
from serving.umpire import Umpire
from serving.watcher import Watcher
from store import keys
from store.aliases import CHAMPION, AliasLog
from store.bucket import Bucket
from store.errors import BadKey, StoreError
from store.trust import Trust

logger = logging.getLogger(__name__)

DISCOVER_SECONDS = 30.0
LEADER_SECONDS = 0.5
LIST_SECONDS = 0.5
FAILED_SECONDS = 1.0


@dataclass(frozen=True)
class Following:
    """What a worker follows, and how. `models` empty: every model in the store."""

    folder: Path
    models: tuple[str, ...]
    replica: str
    poll_seconds: float
    threads: int
    workers: int
    loaded_bytes: int = DEFAULT_BYTES


class Fleet:
    """One worker of a host: always an attendant, and the watchers while it leads."""

    def __init__(self, bucket: Bucket, following: Following, trust: Trust) -> None:
        self.slots = Slots(expected=following.models)
        self._bucket, self._following = bucket, following
        self._cache = Cache(following.folder / "cache", trust)
        self._workers = following.folder / "workers"
        self._room = Room(following.threads, following.loaded_bytes)
        self.presence = Presence(self._workers)
        self.story = Story(self, worker=self.presence.worker[:8])
        self._leadership = Leadership(following.folder / "leader.lock")
        self._attendant = Attendant(
            self.presence,
            bucket=bucket,
            cache=self._cache,
            threads=following.threads,
            workers=following.workers,
            room=self._room,
            note_load=self.story.meter.load,
        )
        self._ledgers: dict[str, Ledger] = {}
        self._watchers: dict[str, Watcher] = {}
        self._umpires: dict[str, Umpire] = {}
        self.challengers = Challengers(following.folder / "challengers", bucket)
        self.comparisons = Comparisons()
        self.router = Router(self.slots, self.challengers.by_model, self.comparisons)
        self.story.meter.challenges = self.challengers.tallies
        self.story.meter.comparison_queue_length = lambda: self.comparisons.waiting
        self.recollection = Recollection(following.folder, bucket, workers=self._workers)
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
        self.presence.note_counts(self.story.meter.snapshot())

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
        return self.recollection.recall() if self._leadership.held else LEADER_SECONDS

    def observe(self) -> float:
        """One tick of the leader's eye on all workers' counters; returns seconds to rest."""
        return self.recollection.observe() if self._leadership.held else LEADER_SECONDS

    def known(self, model: str) -> Known:
        """What the leader of this host noted of a model."""
        return self._ledgers[model].known()

    def challenge(self, model: str) -> Standing | None:
        """How the newest challenge of a model stands on this host."""
        ledger = self.challengers.ledger(model)
        workers = self.story.snapshots().values()
        return standing(ledger.known(), ledger.ended(), workers)

    def snapshots(self) -> dict[str, Snapshot]:
        """What the workers of this host counted, by worker."""
        return counted(self._workers)

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
                ledger = Ledger(folder / model)
                slot = Slot(model, ledger.board)
                challenger = self.challengers.add(model)
                # First the champion: what it takes is then taken into account for its challenger.
                self._attendant.attend(slot, ledger)
                self._attendant.attend(*challenger)
                self.recollection.expect(model, folder / model, ledger)
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
                self._watchers[model] = Watcher(
                    ledger,
                    AliasLog(self._bucket, model, CHAMPION),
                    bucket=self._bucket,
                    cache=self._cache,
                    workers=self._workers,
                    replica=self._following.replica,
                    poll_seconds=self._following.poll_seconds,
                    room=self._room,
                    challenger=challenger,
                )
                self._umpires[model] = Umpire(
                    model,
                    challenger,
                    ledger,
                    bucket=self._bucket,
                    cache=self._cache,
                    workers=self._workers,
                    replica=self._following.replica,
                    poll_seconds=self._following.poll_seconds,
                )

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
