"""Slots: for each model, the versions loaded in this process and the requests that use them.

A request holds a lease on one version from the moment its body is read until its answer is
encoded. A version is freed by the attendant, never by a request.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from serving.board import Board
from serving.loaded import Loaded
from store.aliases import CHAMPION
from store.challenging import CHALLENGER
from store.errors import NotServed

__all__ = ["WAIT_SECONDS", "Asked", "Contender", "Loaded", "Slot", "Slots"]
# A worker that joins between the last report and the flip finishes loading while requests wait.
WAIT_SECONDS = 10.0
_LABELS = (CHAMPION, CHALLENGER)

_Answer = TypeVar("_Answer")


class Contender(Protocol):
    """A challenger that is loaded beside a champion."""

    @property
    def slot(self) -> "Slot":
        """Where its own generations are."""

    def answered(
        self, champion: "Slot", answering: Callable[[Loaded], _Answer], asked: "Asked"
    ) -> tuple[_Answer, Loaded]:
        """Have a request answered that does not say by which version."""


@dataclass(frozen=True)
class Asked:
    """Who asks, under which id of theirs, and how long they wait for a version to be loaded."""

    client: str = ""
    request_id: str = ""
    wait_seconds: float = WAIT_SECONDS


@dataclass
class Slot:
    """One model in this process: a board that says what answers, and what is loaded.

    A challenger has a slot of its own; the champion's points at it while it is loaded here.
    """

    model: str
    board: Board
    refused: dict[int, str] = field(default_factory=dict)
    challenger: Contender | None = None

    def __post_init__(self) -> None:
        self._loaded: dict[int, Loaded] = {}
        # Requests take the lock itself, which costs a fraction of what a condition does.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    @property
    def ready(self) -> bool:
        current = self.board.current
        return current > 0 and current in self._loaded

    def current(self) -> Loaded | None:
        """What answers now, without a lease: for telling, not for answering."""
        return self._loaded.get(self.board.current)

    def loaded(self) -> list[Loaded]:
        """Everything loaded, newest first."""
        with self._changed:
            return sorted(self._loaded.values(), key=lambda one: -one.generation)

    def versions(self) -> tuple[str, ...]:
        """The versions that can be asked here by name, newest first."""
        own = [one.version for one in self._own()]
        challenger = self.challenger
        challenging = challenger.slot.versions() if challenger else ()
        return tuple(dict.fromkeys((*own, *challenging)))

    def put(self, loaded: Loaded) -> None:
        with self._changed:
            self._loaded[loaded.generation] = loaded
            self._changed.notify_all()

    def drop(self, keep: set[int]) -> list[Loaded]:
        """Let go of generations nobody uses and nobody wants; whoever asks for it frees them."""
        with self._changed:
            free = [
                one
                for one in self._loaded.values()
                if not one.leases and one.generation not in keep
            ]
            for one in free:
                del self._loaded[one.generation]
            return free

    def oldest_in_use(self) -> int:
        """The oldest generation that a request in this process is, or may yet be, answered by.

        Read under the lock that leases are taken under, so no request that read the board before
        this can still choose an older one.
        """
        with self._changed:
            leased = [one.generation for one in self._loaded.values() if one.leases]
            return min([self.board.current, *leased])

    @contextmanager
    def lease(
        self,
        version: str | None = None,
        *,
        label: str | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> Iterator[Loaded]:
        """Hold the current version, or one by name or label, throughout a request.

        A current version that this process is still loading is waited for.

        Raises:
            NotServed: nothing is loaded (yet), or not the version that was asked for.
        """
        slot = self._slot_of(version, label)
        loaded = slot._take(version, wait_seconds)  # noqa: SLF001 - of the same class
        try:
            yield loaded
        finally:
            slot._give_back(loaded)  # noqa: SLF001

    def answered(
        self,
        answering: Callable[[Loaded], _Answer],
        *,
        version: str | None = None,
        label: str | None = None,
        client: str = "",
        request_id: str = "",
        wait_seconds: float = WAIT_SECONDS,
    ) -> tuple[_Answer, Loaded]:
        """An answer by one version throughout, and that version.

        It is the current one, or one by name or label; a canary may answer who named neither.

        Raises:
            NotServed: nothing is loaded (yet), or not the version that was asked for.
        """
        challenger = self.challenger
        if challenger is not None and version is None and label is None:
            return challenger.answered(self, answering, Asked(client, request_id, wait_seconds))
        slot = self._slot_of(version, label)
        return slot.answered_here(answering, version=version, wait_seconds=wait_seconds)

    def answered_here(
        self,
        answering: Callable[[Loaded], _Answer],
        *,
        version: str | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> tuple[_Answer, Loaded]:
        """The same by what is loaded in this slot, whoever challenges."""
        loaded = self._take(version, wait_seconds)
        try:
            return answering(loaded), loaded
        finally:
            self._give_back(loaded)

    def _slot_of(self, version: str | None, label: str | None) -> "Slot":
        """Where what was asked for is loaded: here, or at the challenger."""
        challenger = self.challenger
        if label == CHALLENGER:
            if challenger is None or not challenger.slot.ready:
                raise NotServed(f"nothing challenges the champion of {self.model}", (CHAMPION,))
            return challenger.slot
        if label not in {None, CHAMPION}:
            raise NotServed(f"no label {label!r} is known; labels are aliases", _LABELS)
        if challenger is None or version is None or self._named(version) is not None:
            return self
        return challenger.slot if version in challenger.slot.versions() else self

    def _take(self, version: str | None, wait_seconds: float) -> Loaded:
        with self._lock:
            loaded = self._awaited(wait_seconds) if version is None else self._named(version)
            if loaded is None:
                known = self.versions()
                if version is None:
                    raise NotServed(f"{self.model} has no verified version yet", known, soon=True)
                raise NotServed(f"{self.model} {version!r} is not loaded here", known)
            loaded.leases += 1
            return loaded

    def _awaited(self, wait_seconds: float) -> Loaded | None:
        loaded = self.current()
        if loaded is None and self.board.current:
            self._changed.wait_for(lambda: self.ready, wait_seconds)
            loaded = self.current()
        return loaded

    def _give_back(self, loaded: Loaded) -> None:
        with self._lock:
            loaded.leases -= 1

    def _own(self) -> list[Loaded]:
        # What is still being prepared has not been admitted by all workers.
        current = self.board.current
        return [one for one in self.loaded() if one.generation <= current]

    def _named(self, version: str) -> Loaded | None:
        return next((one for one in self._own() if one.version == version), None)


class Slots:
    """All models of this process, by name."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self.expected: tuple[str, ...] = ()

    def add(self, slot: Slot) -> Slot:
        return self._slots.setdefault(slot.model, slot)

    def all(self) -> list[Slot]:
        return sorted(self._slots.values(), key=lambda slot: slot.model)

    def find(self, model: str) -> Slot:
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
        answering = [slot for slot in self.all() if slot.board.current]
        needed = [self._slots.get(name) for name in self.expected]
        return bool(answering) and all(slot and slot.ready for slot in [*answering, *needed])
