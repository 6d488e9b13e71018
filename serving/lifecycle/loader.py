"""Loads and unloads model versions in one worker, as the leader of the host proposes them.

Every worker runs one loader beside its requests. A proposal is a number on the board of a model:
the loader reads the record that it stands for, loads that version from the disk cache, has it
repeat its golden examples, and reports that it is prepared. When all workers have, the leader flips
the board; later the loader closes what nobody leases and the memory budget does not keep.
All logic is in `look`, which whoever runs it calls again after the seconds that it returns.
"""

import logging
import time
from collections.abc import Callable

from overnight.serving.errors import UnfitVersion
from overnight.serving.host.alias_state import AliasState
from overnight.serving.host.workers import ModelReport, WorkerRegistration
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.inference.runtime import Predictor
from overnight.serving.lifecycle.disk_cache import Cache
from overnight.serving.lifecycle.memory_budget import MemoryBudget, available_bytes, give_back
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot
from overnight.store.errors import CorruptVersion, OvernightError, StoreError, UntrustedVersion
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import CHAMPION, AliasRecord
from overnight.store.registry.manifest import Manifest

logger = logging.getLogger(__name__)

BUSY_SECONDS = 0.005
IDLE_SECONDS = 0.05
RETRY_SECONDS = 1.0
RETRY_CURRENT_SECONDS = 10.0


def _unnoted(model: str, outcome: str, seconds: float) -> None:
    """Where nobody counts."""


class VersionLoader:
    """All loading and freeing of a worker happens on the thread of this one object.

    So versions need no lock while they are loaded, and requests never pay for a network's planning
    or for the return of its memory.
    """

    def __init__(
        self,
        presence: WorkerRegistration,
        *,
        bucket: Bucket,
        cache: Cache,
        room: MemoryBudget,
        workers: int,
        available: Callable[[], int | None] = available_bytes,
        clock: Callable[[], float] = time.monotonic,
        note_load: Callable[[str, str, float], None] = _unnoted,
    ) -> None:
        self._note_load = note_load
        self._presence, self._bucket, self._cache = presence, bucket, cache
        self._room, self._workers = room, workers
        # Out of their slots, so no request can lease them; closed once nothing compares with them.
        self._retired: list[LoadedVersion] = []
        self._available, self._clock = available, clock
        self._attended: list[tuple[ModelSlot, AliasState]] = []
        self._retry_at: dict[tuple[str, int], float] = {}
        # By model, once its current version is loaded: what answered before this worker began.
        self._to_recall: dict[str, list[Manifest]] = {}

    def attend(self, slot: ModelSlot, ledger: AliasState) -> None:
        """Load for one more slot what its board asks for."""
        self._attended.append((slot, ledger))

    def look(self) -> float:
        """One tick: load what the boards ask for, free what nobody uses, report.

        Returns how many seconds to rest before the next.
        """
        for slot, ledger in self._attended:
            was_ready = slot.ready
            self._prepare(slot, ledger)
            if was_ready and slot.board.proposed <= slot.board.current:
                self._recall(slot, ledger)
            self._retire(slot, keep=self._kept(slot))
        self._free()
        # Reported last: what is said to be prepared is in its slot, so a flip finds it there.
        self._presence.say({slot.model: _said(slot) for slot, _ in self._attended})
        return BUSY_SECONDS if any(_is_busy(slot) for slot, _ in self._attended) else IDLE_SECONDS

    def _prepare(self, slot: ModelSlot, ledger: AliasState) -> None:
        loaded = {one.generation: one for one in slot.loaded()}
        # `current` too: a worker may join, or be late, when the others have flipped already.
        asked = {slot.board.current, slot.board.proposed} - {0}
        slot.forget_refusals(keep=asked)
        for generation in sorted(asked - loaded.keys()):
            if self._is_put_off(slot, generation):
                continue
            record = ledger.record(generation)
            if record is None:
                continue
            # The same version under a new number, after a rollback say: one set of interpreters.
            shared = next((o for o in loaded.values() if o.version == record.version), None)
            if shared:
                slot.put(LoadedVersion(generation, shared.predictor, record))
            else:
                began = time.perf_counter()
                outcome = self._take_up(slot, generation, record)
                self._note_load(record.model, outcome, time.perf_counter() - began)

    def _take_up(self, slot: ModelSlot, generation: int, record: AliasRecord) -> str:
        """Load what a record names, or remember why not; what became of it, in a word."""
        try:
            predictor = self._load(record, is_current=generation == slot.board.current)
        except (StoreError, OSError) as error:
            self._put_off(slot, generation, RETRY_SECONDS)
            logger.warning("%s: %s cannot be fetched: %s", slot.model, record.version, error)
            return "not fetched"
        except OvernightError as error:
            self._refuse(slot, generation, str(error))
        except Exception as error:
            # A fault of one version's must not keep this worker from attending to the others.
            logger.exception("%s: %s cannot be loaded", slot.model, record.version)
            self._refuse(slot, generation, f"{type(error).__name__}: {error}")
        else:
            slot.put(LoadedVersion(generation, predictor, record))
            return "loaded"
        return "refused"

    def _recall(self, slot: ModelSlot, ledger: AliasState) -> None:
        """Load one of the versions that answered before this worker began, as far as there is room.

        All workers of a host know the same versions by name, however long each has lived. What is
        recalled has numbers below all that this host gives out.
        """
        if slot.model not in self._to_recall:
            self._to_recall[slot.model] = self._before(slot, ledger)
        waiting = self._to_recall[slot.model]
        if not waiting:
            return
        manifest = waiting.pop(0)
        loaded = slot.loaded()
        if any(one.version == manifest.version for one in loaded):
            return
        try:
            found, files = self._cache.read(slot.model, manifest.version)
            self._admit(found)
            predictor = load_version(found, files, threads=self._room.threads)
        except (OvernightError, OSError) as error:
            logger.info("%s: %s is not recalled: %s", slot.model, manifest.version, error)
        else:
            slot.put(LoadedVersion(min(0, loaded[-1].generation) - 1, predictor, record=None))

    def _before(self, slot: ModelSlot, ledger: AliasState) -> list[Manifest]:
        current = slot.current()
        served = (one for one in ledger.known().served if not current or one != current.version)
        found = [self._cache.manifest(slot.model, version) for version in served]
        before = [manifest for manifest in found if manifest is not None]
        stay = set(self._room.kept(before))
        return [manifest for manifest in before if manifest.version in stay]

    def _refuse(self, slot: ModelSlot, generation: int, reason: str) -> None:
        slot.refuse(generation, reason)
        self._put_off(slot, generation, RETRY_CURRENT_SECONDS)

    def _kept(self, slot: ModelSlot) -> set[int]:
        """What answers, what may answer next, and those before that there is room for."""
        current, proposed = slot.board.current, slot.board.proposed
        newest: dict[str, LoadedVersion] = {}
        for one in slot.loaded():
            if one.generation <= current:
                newest.setdefault(one.version, one)
        serving = next((o.version for o in newest.values() if o.generation == current), None)
        before = [one.manifest for version, one in newest.items() if version != serving]
        stay = self._room.kept(before)
        return {current, proposed, *(newest[version].generation for version in stay)}

    def _retire(self, slot: ModelSlot, *, keep: set[int]) -> None:
        self._retired += slot.drop(keep)

    def _free(self) -> None:
        """Close the predictors of retired versions, here and not in whoever refers to them last.

        A predictor is shared by all generations of one version, so it stays while any of them is
        loaded, or is being compared.
        """
        compared = [one for one in self._retired if one.is_compared]
        loaded = [one for slot, _ in self._attended for one in slot.loaded()]
        needed = {id(one.predictor) for one in (*compared, *loaded)}
        free = [one for one in self._retired if id(one.predictor) not in needed]
        # One that is loaded as another generation is closed with that one.
        self._retired = compared
        for one in free:
            one.predictor.close()
        if free:
            # The C library keeps what was freed for later; the next version may be larger.
            give_back()

    def _is_put_off(self, slot: ModelSlot, generation: int) -> bool:
        """A refused proposal is never tried again; what the whole host answers with always is."""
        if generation in slot.refused and generation != slot.board.current:
            return True
        return self._clock() < self._retry_at.get((slot.model, generation), 0.0)

    def _put_off(self, slot: ModelSlot, generation: int, seconds: float) -> None:
        now = self._clock()
        self._retry_at = {one: at for one, at in self._retry_at.items() if at > now}
        self._retry_at[slot.model, generation] = now + seconds

    def _load(self, record: AliasRecord, *, is_current: bool) -> Predictor:
        try:
            manifest, files = self._cache.read(record.model, record.version)
        except (CorruptVersion, UntrustedVersion):
            # The leader staged it before it proposed; damaged since, it is fetched once more.
            self._cache.stage(self._bucket, record.model, record.version)
            manifest, files = self._cache.read(record.model, record.version)
        if not is_current or record.alias != CHAMPION:
            # Without its current champion this worker would answer nothing at all.
            self._admit(manifest)
        return load_version(manifest, files, threads=self._room.threads)

    def _admit(self, manifest: Manifest) -> None:
        """All workers of the host load at the same time, so all of them must fit."""
        needed = self._room.takes_bytes(manifest) * self._workers
        available = self._available()
        if available is not None and needed > available:
            for slot, _ in self._attended:
                self._retire(slot, keep={slot.board.current, slot.board.proposed})
            self._free()
            available = self._available()
        if available is not None and needed > available:
            raise UnfitVersion(
                manifest.model,
                manifest.version,
                f"{self._workers} workers need about {needed >> 20} MiB for it and "
                f"{available >> 20} MiB are available; give the host more memory or fewer workers",
            )


def _said(slot: ModelSlot) -> ModelReport:
    # In use is read first: a request that starts in between is answered by what is current or
    # newer, so the number reported may be too low, which delays an acknowledgement, never too high.
    oldest = slot.oldest_in_use()
    prepared = tuple(sorted(one.generation for one in slot.loaded()))
    return ModelReport(prepared=prepared, refused=dict(slot.refused), oldest_in_use=oldest)


def _is_busy(slot: ModelSlot) -> bool:
    board = slot.board
    return board.proposed > board.current or slot.oldest_in_use() < board.current
