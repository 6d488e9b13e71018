"""Model slots: the versions of each model that this process has loaded, and the leases on them.

A request holds a lease on one version from the moment its body is read until its answer is
encoded, so it is answered by that version throughout, whatever is activated meanwhile. Leasing is
all that happens here: the loader's thread loads and frees, the router chooses between slots.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from overnight.serving.errors import NotServed
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.loaded_version import LoadedVersion
from overnight.store.registry.alias_record import AliasRecord

__all__ = ["WAIT_SECONDS", "LoadedVersion", "ModelSlot", "ModelSlots"]
# A worker that starts between the last report and the activation finishes loading while requests
# wait.
WAIT_SECONDS = 10.0
# A version that clients of earlier inputs use keeps its place in the memory budget so long.
EARLIER_SECONDS = 3_600.0
# One that could not be loaded for them is not tried again before.
UNLOADABLE_SECONDS = 600.0


class ModelSlot:
    """One alias of a model in this process: the generation that answers, and those loaded.

    Champion and challenger have a slot each, and neither slot knows of the other.
    """

    def __init__(self, model: str, shared: SharedGeneration) -> None:
        self.model, self.shared = model, shared
        self._loaded: dict[int, LoadedVersion] = {}
        self._refused: dict[int, str] = {}
        # Versions that clients of earlier inputs wait for, why others cannot be loaded for them and
        # until when, and when each was last used by them.
        self._awaited_records: dict[str, AliasRecord] = {}
        self._unloadable: dict[str, tuple[str, float]] = {}
        self._used_at: dict[str, float] = {}
        # How many leases were given back: whether requests get on is seen by it.
        self.released = 0
        # Requests take the lock itself, which costs a fraction of what a condition does. It is
        # reentrant, because the condition's predicate reads `ready` while it is held.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    @property
    def ready(self) -> bool:
        """Whether what the host answers with is loaded here."""
        current = self.shared.current
        return current > 0 and current in self._loaded

    @property
    def refused(self) -> Mapping[int, str]:
        """Why this worker cannot load a generation that is current or proposed."""
        return self._refused

    def current(self) -> LoadedVersion | None:
        """The version that answers now, without a lease: to describe it, not to answer with it."""
        # No lock: the number is read first, and looking up a key is one step for all threads.
        return self._loaded.get(self.shared.current)

    def loaded(self) -> list[LoadedVersion]:
        """Everything loaded, newest first."""
        with self._lock:
            return sorted(self._loaded.values(), key=lambda loaded: -loaded.generation)

    def named(self, version: str) -> LoadedVersion | None:
        """A version by its name, without a lease; the newest generation of it."""
        return next((loaded for loaded in self._activated() if loaded.version == version), None)

    def versions(self) -> tuple[str, ...]:
        """The versions that can be leased here by name, newest first."""
        return tuple(dict.fromkeys(loaded.version for loaded in self._activated()))

    def put(self, loaded: LoadedVersion) -> None:
        """Add a loaded generation, and wake the requests that wait for it."""
        with self._changed:
            self._loaded[loaded.generation] = loaded
            self._refused.pop(loaded.generation, None)
            self._changed.notify_all()

    def refuse(self, generation: int, reason: str) -> None:
        """Remember why a generation cannot be loaded here, until it is loaded or forgotten."""
        with self._lock:
            self._refused[generation] = reason

    def forget_refusals(self, *, keep: set[int]) -> None:
        """Forget the refusals of all generations but those in `keep`."""
        with self._lock:
            # A new dictionary: routes read the old one without the lock.
            self._refused = {
                generation: reason
                for generation, reason in self._refused.items()
                if generation in keep
            }

    def drop(self, keep: set[int]) -> list[LoadedVersion]:
        """Remove the generations without a lease and not in `keep`, to be freed by the caller.

        Leases are counted under the same lock, so what is returned is never leased again by a
        request; a comparison may still use it. What is still leased is leased by name no more:
        clients that never stop asking for it would keep it in memory for ever.
        """
        with self._lock:
            leaving = [loaded for loaded in self._loaded.values() if loaded.generation not in keep]
            retired = [loaded for loaded in leaving if not loaded.leases]
            for loaded in leaving:
                loaded.is_leaving = True
            for loaded in retired:
                loaded.is_retired = True
                del self._loaded[loaded.generation]
            return retired

    def oldest_in_use(self) -> int:
        """The oldest generation that a request without a version is, or may yet be, answered by.

        A lower bound: it may be too old for a moment, never too new. Requests for a version by its
        name do not count: they get that version before and after a promotion alike.
        """
        # Under the lock that leases are taken under. A request reads the current generation and
        # counts its lease in one hold of the lock: one that read an older number before this has
        # a lease that is seen here, one that comes later reads at least the number seen here.
        with self._lock:
            leased = [
                loaded.generation
                for loaded in self._loaded.values()
                if loaded.leases > loaded.named_leases
            ]
            return min([self.shared.current, *leased])

    @property
    def is_leased(self) -> bool:
        """Whether any request holds a lease."""
        with self._lock:
            return any(loaded.leases for loaded in self._loaded.values())

    @contextmanager
    def lease(
        self, version: str | None = None, *, wait_seconds: float = WAIT_SECONDS
    ) -> Iterator[LoadedVersion]:
        """Hold the current version, or one by name, throughout a request.

        Raises:
            NotServed: as `acquire`.
        """
        loaded = self.acquire(version, wait_seconds)
        try:
            yield loaded
        finally:
            self.release(loaded, version)

    def acquire(
        self, version: str | None = None, wait_seconds: float = WAIT_SECONDS
    ) -> LoadedVersion:
        """Take a lease, which must be given back by `release` with the same `version`.

        A current version that this process is still loading is waited for.

        Raises:
            NotServed: nothing is loaded (yet), or not the version that was named.
        """
        # The current generation must be read while the lock is held: read before, it could be
        # dropped, or an acknowledgement be given that nothing older answers, in between.
        with self._lock:
            loaded = self._awaited(wait_seconds) if version is None else self.named(version)
            if loaded is None:
                if version is None:
                    missing = f"{self.model} has no verified version yet"
                    raise NotServed(missing, self.versions(), soon=True)
                raise NotServed(f"{self.model} {version!r} is not loaded here", self.versions())
            loaded.leases += 1
            if version is not None:
                loaded.named_leases += 1
            return loaded

    def release(self, loaded: LoadedVersion, version: str | None = None) -> None:
        """Give a lease back; the version is freed by the loader, never by a request."""
        with self._lock:
            self.released += 1
            loaded.leases -= 1
            if version is not None:
                loaded.named_leases -= 1

    def acquire_earlier(
        self, record: AliasRecord, wait_seconds: float = WAIT_SECONDS
    ) -> LoadedVersion:
        """Take a lease on a version that was champion, once the loader has loaded it.

        One request waits at a time; others are asked to try again.

        Raises:
            NotServed: it cannot be loaded, and why; or not yet.
        """
        version = record.version
        with self._changed:
            self._used_at[version] = time.monotonic()
            if self.named(version) is None:
                why, until = self._unloadable.get(version, ("", 0.0))
                if time.monotonic() < until:
                    raise NotServed(f"{self.model} {version!r} {why}", self.versions())
                if self._awaited_records:
                    waiting = f"{self.model} {version!r} waits for another version to be loaded"
                    raise NotServed(waiting, self.versions(), soon=True)
                self._unloadable.pop(version, None)
                self._awaited_records[version] = record
                try:
                    self._changed.wait_for(
                        lambda: self.named(version) is not None or version in self._unloadable,
                        wait_seconds,
                    )
                finally:
                    del self._awaited_records[version]
                if version in self._unloadable:
                    why = self._unloadable[version][0]
                    raise NotServed(f"{self.model} {version!r} {why}", self.versions())
                if self.named(version) is None:
                    missing = f"{self.model} {version!r} is still being loaded"
                    raise NotServed(missing, self.versions(), soon=True)
            return self.acquire(version)

    def awaited_earlier(self) -> list[AliasRecord]:
        """The records of versions that requests wait for, for the loader."""
        with self._lock:
            return list(self._awaited_records.values())

    def refuse_earlier(self, version: str, why: str) -> None:
        """Tell the request that waits for a version why it cannot be loaded."""
        with self._changed:
            self._unloadable[version] = (why, time.monotonic() + UNLOADABLE_SECONDS)
            self._changed.notify_all()

    def used_by_earlier_clients(self) -> list[str]:
        """Versions that clients of earlier inputs used lately, the last one first."""
        since = time.monotonic() - EARLIER_SECONDS
        with self._lock:
            self._used_at = {v: at for v, at in self._used_at.items() if at >= since}
            return sorted(self._used_at, key=lambda version: -self._used_at[version])

    def _awaited(self, wait_seconds: float) -> LoadedVersion | None:
        loaded = self.current()
        if loaded is None and self.shared.current:
            self._changed.wait_for(lambda: self.ready, wait_seconds)
            loaded = self.current()
        return loaded

    def _activated(self) -> list[LoadedVersion]:
        # A newer generation is loaded here, but perhaps not yet by all workers.
        current = self.shared.current
        return [
            loaded
            for loaded in self.loaded()
            if loaded.generation <= current and not loaded.is_leaving
        ]


class ModelSlots:
    """The champions' slots of this process, by model. `expected`: the models it must serve."""

    def __init__(self, expected: tuple[str, ...] = ()) -> None:
        self._slots: dict[str, ModelSlot] = {}
        self.expected = expected

    def add(self, slot: ModelSlot) -> ModelSlot:
        return self._slots.setdefault(slot.model, slot)

    def all(self) -> list[ModelSlot]:
        return sorted(self._slots.values(), key=lambda slot: slot.model)

    def find(self, model: str) -> ModelSlot:
        """The slot of a model.

        Raises:
            NotServed: this host does not serve it; says which models it does.
        """
        slot = self._slots.get(model)
        if slot is None:
            raise NotServed(f"no model {model!r} is served here", tuple(sorted(self._slots)))
        return slot

    @property
    def ready(self) -> bool:
        """Whether every model that answers, and every one that must, is loaded here."""
        answering = [slot for slot in self.all() if slot.shared.current]
        needed = [self._slots.get(name) for name in self.expected]
        return bool(answering) and all(slot and slot.ready for slot in [*answering, *needed])
