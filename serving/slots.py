"""Slots: for each model, the versions loaded in this process and the requests that use them.

A request holds a lease on one version from the moment its body is read until its answer is
encoded. A version is freed by the attendant, never by a request.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from serving.board import Board
from serving.predictor import Array, Predictor
from store.aliases import AliasRecord
from store.errors import NotServed
from store.manifest import Manifest

# A worker that joins between the last report and the flip finishes loading while requests wait.
WAIT_SECONDS = 10.0

_Answer = TypeVar("_Answer")


@dataclass
class Loaded:
    """One generation in this process."""

    generation: int
    predictor: Predictor
    record: AliasRecord | None
    leases: int = 0

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    @property
    def version(self) -> str:
        return self.predictor.manifest.version

    def answer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Answer n ≥ 1 rows: `inputs` [n, …] by name to the `wanted` outputs, [n, …] each."""
        return self.predictor.answer(inputs, wanted)


@dataclass
class Slot:
    """One model in this process: a board that says what answers, and what is loaded."""

    model: str
    board: Board
    refused: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._loaded: dict[int, Loaded] = {}
        self._changed = threading.Condition()

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
        current = self.board.current
        return tuple(dict.fromkeys(o.version for o in self.loaded() if o.generation <= current))

    def put(self, loaded: Loaded) -> None:
        with self._changed:
            self._loaded[loaded.generation] = loaded
            self._changed.notify_all()

    def drop(self, keep: set[int]) -> None:
        """Let go of generations nobody uses and nobody wants."""
        with self._changed:
            free = [
                one
                for one in self._loaded.values()
                if not one.leases and one.generation not in keep
            ]
            for one in free:
                del self._loaded[one.generation]

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
        self, version: str | None = None, *, wait_seconds: float = WAIT_SECONDS
    ) -> Iterator[Loaded]:
        """Hold the current version, or one by name, throughout a request.

        A current version that this process is still loading is waited for.

        Raises:
            NotServed: nothing is loaded (yet), or not the version that was asked for.
        """
        loaded = self._take(wait_seconds) if version is None else self._take_named(version)
        try:
            yield loaded
        finally:
            with self._changed:
                loaded.leases -= 1

    def answered(
        self,
        answering: Callable[[Loaded], _Answer],
        *,
        version: str | None = None,
        client: str = "",  # noqa: ARG002 - a canary's share of the traffic will stick to it
        wait_seconds: float = WAIT_SECONDS,
    ) -> tuple[_Answer, Loaded]:
        """An answer by one version throughout, the current one or one by name, and that version.

        Raises:
            NotServed: nothing is loaded (yet), or not the version that was asked for.
        """
        with self.lease(version, wait_seconds=wait_seconds) as loaded:
            return answering(loaded), loaded

    def _take(self, wait_seconds: float) -> Loaded:
        with self._changed:
            loaded = self._loaded.get(self.board.current)
            if loaded is None and self.board.current:
                self._changed.wait_for(lambda: self.board.current in self._loaded, wait_seconds)
                loaded = self._loaded.get(self.board.current)
            if loaded is None:
                raise NotServed(
                    f"{self.model} has no verified version yet", self.versions(), soon=True
                )
            loaded.leases += 1
            return loaded

    def _take_named(self, version: str) -> Loaded:
        with self._changed:
            current = self.board.current
            for one in self.loaded():
                # A version that is still being prepared has not been admitted by all workers.
                if one.version == version and one.generation <= current:
                    one.leases += 1
                    return one
            raise NotServed(f"{self.model} {version!r} is not loaded here", self.versions())


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
