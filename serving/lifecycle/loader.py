"""Loads and unloads model versions in one worker, as the leader of the host proposes them.

Every worker runs one loader beside its requests. A proposal is a generation in shared memory: the
loader reads the record that it stands for, loads that version from the disk cache, has it repeat
its golden examples, and reports that it is prepared. When all workers have, the leader activates
the generation; later the loader closes versions without leases for which the memory budget has no
place. All logic is in `tick`, which is called again after the seconds that it returns.
"""

import logging
import time
from collections.abc import Callable

from overnight.serving.errors import UnfitVersion
from overnight.serving.host.alias_state import AliasState
from overnight.serving.host.workers import ModelReport, WorkerRegistration
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.inference.runtime import Predictor
from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.serving.lifecycle.load_notes import LoadNotes
from overnight.serving.lifecycle.memory_budget import (
    MemoryBudget,
    available_bytes,
    return_freed_memory,
)
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot
from overnight.serving.telemetry.metrics import Loads
from overnight.store.errors import CorruptVersion, OvernightError, StoreError, UntrustedVersion
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION
from overnight.store.registry.approval import needs_approval
from overnight.store.registry.manifest import Manifest

logger = logging.getLogger(__name__)

BUSY_SECONDS = 0.005
IDLE_SECONDS = 0.05
RETRY_SECONDS = 1.0
RETRY_CURRENT_SECONDS = 10.0
# A version is refused once so many workers died while they loaded it. One may have been stopped, or
# killed for another process' sake; the second waits, because a worker that dies as soon as it was
# replaced ends the server.
DEATHS = 2
DEATH_PAUSE_SECONDS = 10.0
# Without its current version a host answers nothing for this model: it is tried again, rarely.
RETRY_DEADLY_SECONDS = 600.0
# How long a worker that starts waits to hear that its host still follows what is not current.
CONFIRM_SECONDS = 10.0


class VersionLoader:
    """All loading and freeing of a worker happens on the thread of this one object.

    So versions need no lock while they are loaded, and requests never pay for a network's planning
    or for the return of its memory.
    """

    def __init__(
        self,
        registration: WorkerRegistration,
        *,
        bucket: Bucket,
        cache: DiskCache,
        memory_budget: MemoryBudget,
        load_notes: LoadNotes,
        workers: int,
        server_started: float = 0.0,
        available: Callable[[], int | None] = available_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`server_started`, in seconds since 1970, is when the server of this worker started."""
        self._registration, self._bucket, self._cache = registration, bucket, cache
        self._memory_budget, self._workers = memory_budget, workers
        # Out of their slots, so no request can lease them; closed once no comparison uses them.
        self._retired: list[LoadedVersion] = []
        self._load_notes, self._server_started = load_notes, server_started
        self._started_ms, self._confirmed_at = int(time.time() * 1000), clock() + CONFIRM_SECONDS
        self._available, self._clock = available, clock
        self._slots: list[tuple[ModelSlot, AliasState]] = []
        self._retry_at: dict[tuple[str, int], float] = {}
        # By slot, once its current version is loaded: versions that served before this worker
        # started, still to be loaded.
        self._to_reload: dict[str, list[Manifest]] = {}
        self._loads: dict[tuple[str, str], Loads] = {}
        # Counts whatever is done here, for those who watch whether anything is.
        self.steps = 0

    def add(self, slot: ModelSlot, alias_state: AliasState) -> None:
        """Load into one more slot the generations that are proposed for its alias."""
        self._slots.append((slot, alias_state))

    def loads(self) -> tuple[Loads, ...]:
        """How many versions were loaded or refused, by model and outcome."""
        # Called by other threads: each entry is replaced whole, and copying is one step for them.
        return tuple(self._loads.values())

    def tick(self) -> float:
        """Load what is proposed, free what is not used, report. Returns seconds to rest."""
        for slot, alias_state in self._slots:
            self.steps += 1
            was_ready = slot.ready
            self._prepare(slot, alias_state)
            if was_ready and slot.shared.proposed <= slot.shared.current:
                self._reload_previous(slot, alias_state)
                self._load_earlier(slot)
            self._retired += slot.drop(self._kept_generations(slot))
        self._free()
        self.steps += 1
        # Reported last: a generation that is reported as prepared is in its slot, so a request
        # that reads it from shared memory finds it there.
        self._registration.report({slot.model: _report(slot) for slot, _ in self._slots})
        return BUSY_SECONDS if any(_is_busy(slot) for slot, _ in self._slots) else IDLE_SECONDS

    def _prepare(self, slot: ModelSlot, alias_state: AliasState) -> None:
        loaded = {version.generation: version for version in slot.loaded()}
        # `current` too: a worker may start, or be late, when the others have switched already.
        wanted = {slot.shared.current, slot.shared.proposed} - {0}
        slot.forget_refusals(keep=wanted)
        for generation in sorted(wanted - loaded.keys()):
            if self._is_postponed(slot, generation):
                continue
            record = alias_state.record(generation)
            if record is None or not self._is_confirmed(slot, generation, record):
                continue
            # The same version under a new number, after a rollback say: one set of interpreters.
            same = next((v for v in loaded.values() if v.version == record.version), None)
            if same:
                slot.put(LoadedVersion(generation, same.predictor, record))
            else:
                began = time.perf_counter()
                outcome = self._load_or_refuse(slot, generation, record)
                if outcome is not None:
                    self._count_load(record.model, outcome, time.perf_counter() - began)

    def _load_or_refuse(self, slot: ModelSlot, generation: int, record: AliasRecord) -> str | None:
        """Load the version of a record, or remember why not; returns the outcome, if any."""
        try:
            is_current = generation == slot.shared.current
            if self._is_deadly(record, is_current=is_current):
                self._postpone(slot, generation, RETRY_SECONDS)
                return None
            predictor = self._load(record, is_current=is_current)
        except (StoreError, OSError) as error:
            self._postpone(slot, generation, RETRY_SECONDS)
            logger.warning("%s: %s cannot be fetched: %s", slot.model, record.version, error)
            return "not fetched"
        except OvernightError as error:
            self._refuse(slot, generation, str(error))
        except Exception as error:
            # A fault of one version must not keep this worker from loading the others.
            logger.exception("%s: %s cannot be loaded", slot.model, record.version)
            self._refuse(slot, generation, f"{type(error).__name__}: {error}")
        else:
            slot.put(LoadedVersion(generation, predictor, record))
            return "loaded"
        return "refused"

    def _is_confirmed(self, slot: ModelSlot, generation: int, record: AliasRecord) -> bool:
        """Whether to load a generation that may have been superseded or stopped meanwhile.

        A worker that starts loads at once what its host answers with. For everything else it waits
        until the leader has asked the store since, or for a while, as there may be no leader.
        """
        if record.alias == CHAMPION and generation == slot.shared.current:
            return True
        shared = slot.shared
        is_known = shared.polled_ms >= self._started_ms or shared.last_sync_age_seconds is None
        return is_known or self._clock() >= self._confirmed_at

    def _is_deadly(self, record: AliasRecord, *, is_current: bool) -> bool:
        """Whether to wait before a version is loaded, because a worker died of it just now.

        Raises:
            UnfitVersion: several did.
        """
        # A server that is stopped while its workers load looks the same. The next one must not
        # hold that against what the host answers with.
        since = self._server_started if is_current else 0.0
        deaths = self._load_notes.deaths(record.model, record.version, since=since)
        if not deaths:
            return False
        ago = time.time() - deaths[-1]
        if len(deaths) < DEATHS:
            return ago < DEATH_PAUSE_SECONDS
        if is_current and ago >= RETRY_DEADLY_SECONDS:
            return False
        why = f"{len(deaths)} workers of this host died while they loaded it"
        raise UnfitVersion(record.model, record.version, why)

    def _count_load(self, model: str, outcome: str, seconds: float) -> None:
        before = self._loads.get((model, outcome))
        versions, total = (before.versions, before.seconds) if before else (0, 0.0)
        self._loads[model, outcome] = Loads(
            model=model, outcome=outcome, versions=versions + 1, seconds=total + seconds
        )

    def _reload_previous(self, slot: ModelSlot, alias_state: AliasState) -> None:
        """Load one of the versions that served before this worker started, within the budget.

        All workers of a host answer for the same versions by name, however long each has lived.
        """
        if slot.model not in self._to_reload:
            self._to_reload[slot.model] = self._previous_manifests(slot, alias_state)
        waiting = self._to_reload[slot.model]
        if not waiting:
            return
        manifest = waiting.pop(0)
        loaded = slot.loaded()
        if any(version.version == manifest.version for version in loaded):
            return
        try:
            verified, files = self._cache.read(slot.model, manifest.version)
            self._check_memory(verified)
            if self._load_notes.deaths(slot.model, manifest.version):
                return
            predictor = self._load_noted(verified, files)
        except (OvernightError, OSError) as error:
            logger.info("%s: %s is not loaded again: %s", slot.model, manifest.version, error)
        else:
            # Numbers below all that this host gives out, so that it counts as the oldest.
            slot.put(LoadedVersion(min(0, loaded[-1].generation) - 1, predictor, record=None))

    def _load_earlier(self, slot: ModelSlot) -> None:
        """Load versions that clients of earlier inputs wait for, where the budget has a place.

        They were champions of hosts, so each was tried in a process of its own once.
        """
        for record in slot.awaited_earlier():
            if slot.named(record.version) is not None:
                continue
            try:
                self._cache.stage(self._bucket, record)
                approved = needs_approval(record)
                manifest, files = self._cache.read(
                    record.model, record.version, approved=approved and record.signed is not None
                )
                self._check_place(slot, manifest)
                if self._load_notes.deaths(record.model, record.version):
                    raise UnfitVersion(record.model, record.version, "a worker died of it")
                predictor = self._load_noted(manifest, files)
            except (OvernightError, OSError) as error:
                logger.info("%s: %s is not loaded: %s", slot.model, record.version, error)
                slot.refuse_earlier(record.version, f"cannot be loaded here: {error}")
            else:
                oldest = min(0, *(version.generation for version in slot.loaded()))
                slot.put(LoadedVersion(oldest - 1, predictor, record=None))

    def _check_place(self, slot: ModelSlot, manifest: Manifest) -> None:
        """Check that a version for clients of earlier inputs would stay once it is loaded.

        Raises:
            UnfitVersion: the memory budget, or the memory, has no place for it.
        """
        current = slot.current()
        previous = [
            version.manifest
            for version in self._by_claim(slot, slot.loaded())
            if current is None or version.version != current.version
        ]
        claimed = set(slot.used_by_earlier_clients())
        ahead = [m for n, m in enumerate(previous) if n == 0 or m.version in claimed]
        if manifest.version not in self._memory_budget.retained([*ahead, manifest]):
            why = "there is no place for it within OVERNIGHT_LOADED_VERSIONS_MB"
            raise UnfitVersion(manifest.model, manifest.version, why)
        self._check_memory(manifest)

    @staticmethod
    def _by_claim(slot: ModelSlot, newest_first: list[LoadedVersion]) -> list[LoadedVersion]:
        """Previous versions by who keeps a place: a rollback's target, then earlier clients'."""
        claimed = slot.used_by_earlier_clients()
        if not claimed:
            return newest_first
        current = slot.current()
        others = [v for v in newest_first if current is None or v.version != current.version]
        rank = {version: place for place, version in enumerate(claimed)}
        first, rest = others[:1], others[1:]
        return [*first, *sorted(rest, key=lambda v: rank.get(v.version, len(rank)))]

    def _previous_manifests(self, slot: ModelSlot, alias_state: AliasState) -> list[Manifest]:
        current = slot.current()
        manifests = [
            self._cache.manifest(slot.model, version)
            for version in alias_state.follower_state().served
            if not current or version != current.version
        ]
        staged = [manifest for manifest in manifests if manifest is not None]
        retained = set(self._memory_budget.retained(staged))
        return [manifest for manifest in staged if manifest.version in retained]

    def _refuse(self, slot: ModelSlot, generation: int, reason: str) -> None:
        slot.refuse(generation, reason)
        self._postpone(slot, generation, RETRY_CURRENT_SECONDS)

    def _kept_generations(self, slot: ModelSlot) -> set[int]:
        """The current generation, the proposed one, and previous ones within the budget."""
        current, proposed = slot.shared.current, slot.shared.proposed
        newest: dict[str, LoadedVersion] = {}
        for loaded in slot.loaded():
            if loaded.generation <= current:
                newest.setdefault(loaded.version, loaded)
        serving = next((v.version for v in newest.values() if v.generation == current), None)
        others = [loaded for version, loaded in newest.items() if version != serving]
        previous = [loaded.manifest for loaded in self._by_claim(slot, others)]
        retained = self._memory_budget.retained(previous)
        return {current, proposed, *(newest[version].generation for version in retained)}

    def _free(self) -> None:
        """Close the predictors of retired versions, here and not when the last reference goes.

        A predictor is shared by all generations of one version, so it stays while any of them is
        loaded, or is being compared.
        """
        compared = [version for version in self._retired if version.is_compared]
        loaded = [version for slot, _ in self._slots for version in slot.loaded()]
        needed = {id(version.predictor) for version in (*compared, *loaded)}
        free = [version for version in self._retired if id(version.predictor) not in needed]
        # A version that is loaded as another generation is closed with that one.
        self._retired = compared
        for version in free:
            version.predictor.close()
        if free:
            # The C library keeps what was freed for later; the next version may be larger.
            return_freed_memory()

    def _is_postponed(self, slot: ModelSlot, generation: int) -> bool:
        # A refused proposal is never tried again; what the whole host answers with always is.
        if generation in slot.refused and generation != slot.shared.current:
            return True
        return self._clock() < self._retry_at.get((slot.model, generation), 0.0)

    def _postpone(self, slot: ModelSlot, generation: int, seconds: float) -> None:
        now = self._clock()
        self._retry_at = {key: at for key, at in self._retry_at.items() if at > now}
        self._retry_at[slot.model, generation] = now + seconds

    def _load(self, record: AliasRecord, *, is_current: bool) -> Predictor:
        # Records that an earlier release followed are not signed, and it kept no decisions.
        approved = record.signed is not None and needs_approval(record)
        try:
            manifest, files = self._cache.read(record.model, record.version, approved=approved)
        except (CorruptVersion, UntrustedVersion):
            # The leader staged it before it proposed; damaged since, it is fetched once more.
            self._cache.stage(self._bucket, record)
            manifest, files = self._cache.read(record.model, record.version, approved=approved)
        if not is_current or record.alias != CHAMPION:
            # Without its current champion this worker would answer nothing at all.
            self._check_memory(manifest)
        return self._load_noted(manifest, files)

    def _load_noted(self, manifest: Manifest, files: dict[str, bytes]) -> Predictor:
        with self._load_notes.loading(manifest.model, manifest.version):
            return load_version(manifest, files, threads=self._memory_budget.threads)

    def _check_memory(self, manifest: Manifest) -> None:
        """Refuse a version for which there is no memory, after freeing previous ones.

        Raises:
            UnfitVersion: it does not fit.
        """
        # All workers of the host load at the same time, so all of them must fit.
        needed = self._memory_budget.version_bytes(manifest) * self._workers
        available = self._available()
        if available is not None and needed > available:
            for slot, _ in self._slots:
                self._retired += slot.drop({slot.shared.current, slot.shared.proposed})
            self._free()
            available = self._available()
        if available is not None and needed > available:
            raise UnfitVersion(
                manifest.model,
                manifest.version,
                f"{self._workers} workers need about {needed >> 20} MiB for it and "
                f"{available >> 20} MiB are available; give the host more memory or fewer workers",
            )


def _report(slot: ModelSlot) -> ModelReport:
    # In use is read first: a request that starts in between is answered by what is current or
    # newer, so the number reported may be too low, which delays an acknowledgement, never too high.
    oldest = slot.oldest_in_use()
    prepared = tuple(sorted(version.generation for version in slot.loaded()))
    return ModelReport(prepared=prepared, refused=dict(slot.refused), oldest_in_use=oldest)


def _is_busy(slot: ModelSlot) -> bool:
    shared = slot.shared
    return shared.proposed > shared.current or slot.oldest_in_use() < shared.current
