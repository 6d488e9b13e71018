"""Router of prediction requests: to a model's champion, to its challenger, or to a named version.

It stands above the slots of both, which only lease. Nothing that a challenger does makes a request
fail: whatever it does not answer well, the champion answers.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from overnight.serving.challenger.comparison import (
    AnswerComparison,
    Comparisons,
    RecordedCall,
    check_finite,
)
from overnight.serving.challenger.counters import ChallengeCounters
from overnight.serving.errors import NotServed
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array, Predictor
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.registry.aliases import CHALLENGER, CHAMPION, AliasRecord
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import difference
from overnight.store.registry.manifest import Manifest

_LABELS = (CHAMPION, CHALLENGER)

_Answer = TypeVar("_Answer")


class AnswersOtherwise(Exception):
    """The challenger cannot stand in for this champion: clients would not understand it."""


@dataclass(frozen=True)
class RequestContext:
    """Who asks, under which id of theirs."""

    client: str = ""
    request_id: str = ""


class RecordingVersion:
    """A leased version for one request, which records the call that the request made to it."""

    def __init__(self, loaded: LoadedVersion) -> None:
        self.predictor: Predictor = loaded.predictor
        self.exchange: RecordedCall | None = None

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    @property
    def version(self) -> str:
        return self.predictor.manifest.version

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Answer as the version itself does, and keep what was asked and answered."""
        answers = self.predictor.predict(inputs, outputs)
        self.exchange = RecordedCall(self.predictor.inputs, inputs, outputs, answers)
        return answers


@dataclass(frozen=True)
class Duel:
    """A challenger, with what it has loaded, that is active beside a champion; and its terms."""

    champion: ModelSlot
    challenger: "Challenger"
    loaded: LoadedVersion
    challenge: str
    terms: Terms
    notes: ChallengeCounters


class Challenger:
    """One model's challenger in this worker: what is loaded, and the counters of its challenges."""

    def __init__(self, slot: ModelSlot, model: str) -> None:
        self.slot = slot
        self._model = model
        # Of the newest challenge and, for whoever still answers with it, of the one before.
        self._notes: tuple[ChallengeCounters, ...] = ()
        self._lock = threading.Lock()
        # The last pair of versions whose tensors were compared, and how they differ.
        self._fitting = ("", "", "")

    def tally(self) -> ChallengeStats | None:
        """What this worker counted of the newest challenge, over or not."""
        return self._notes[0].tally() if self._notes else None

    def against(self, champion: ModelSlot) -> Duel | None:
        """The challenge that is on now, or None: nearly always, and nearly for free."""
        challenger = self.slot.current()
        if challenger is None:
            return None
        # The champion is read second: one that changes in between is at worst the challenger
        # itself, and then there is nothing to compare.
        serves, record = champion.current(), challenger.record
        if record is None or serves is None or serves.version == challenger.version:
            return None
        terms = record.terms
        if terms is None:
            return None
        notes = self._notes_of(record, terms)
        return Duel(champion, self, challenger, record.id, terms, notes)

    def check_fits(self, serves: LoadedVersion, challenger: LoadedVersion) -> None:
        """Hold the challenger's tensors against those of the champion as it is now.

        The rules of the store see to that at the start; the champion may have moved since.

        Raises:
            AnswersOtherwise: clients of this champion would not understand the challenger.
        """
        beside, judged, why = self._fitting
        if (beside, judged) != (serves.version, challenger.version):
            why = difference(serves.manifest.tensors, challenger.manifest.tensors)
            # One store of a whole tuple, so that no other thread reads half of it.
            self._fitting = (serves.version, challenger.version, why)
        if why:
            raise AnswersOtherwise(why)

    def _notes_of(self, record: AliasRecord, terms: Terms) -> ChallengeCounters:
        notes = self._notes_for(record)
        if notes is None:
            # Looked up again under the lock: two requests may be the first of a challenge.
            with self._lock:
                notes = self._notes_for(record)
                if notes is None:
                    notes = ChallengeCounters(self._model, record, terms.mode)
                    current = self.slot.current()
                    is_late = current is not None and current.record != record
                    newest = self._notes[:1]
                    self._notes = (*newest, notes) if is_late else (notes, *newest)
        return notes

    def _notes_for(self, record: AliasRecord) -> ChallengeCounters | None:
        return next((notes for notes in self._notes if notes.record == record.id), None)


class Router:
    """Which version answers a request, for all models of this process."""

    def __init__(
        self,
        slots: ModelSlots,
        challengers: Mapping[str, Challenger] = MappingProxyType({}),
        comparisons: Comparisons | None = None,
    ) -> None:
        """`challengers` by model; a model without one there is answered by its champion alone."""
        self.slots = slots
        self._challengers = challengers
        self._comparisons = comparisons or Comparisons()

    def predict(
        self,
        model: str,
        answering: Callable[[ModelVersion], _Answer],
        *,
        version: str | None = None,
        label: str | None = None,
        client: str = "",
        request_id: str = "",
    ) -> tuple[_Answer, LoadedVersion]:
        """An answer by one version throughout, and that version.

        It is the current one, or one by name or label; a canary may answer who named neither.

        Raises:
            NotServed: nothing is loaded (yet), or not the model or version that was asked for.
        """
        slot = self.slots.find(model)
        if version is None and label is None:
            challenger = self._challengers.get(model)
            if challenger is not None and (duel := challenger.against(slot)) is not None:
                return self._beside(answering, RequestContext(client, request_id), duel)
        else:
            slot = self._slot_of(slot, version, label)
        return _answered(slot, answering, version)

    @contextmanager
    def lease(
        self, model: str, version: str | None = None, *, label: str | None = None
    ) -> Iterator[LoadedVersion]:
        """Hold the champion of a model, or a version by name or label, throughout a request.

        Raises:
            NotServed: as `predict`.
        """
        slot = self._slot_of(self.slots.find(model), version, label)
        with slot.lease(version) as loaded:
            yield loaded

    def versions(self, model: str) -> tuple[str, ...]:
        """The versions of a model that can be asked here by name, newest first.

        Raises:
            NotServed: no such model is served here.
        """
        own = self.slots.find(model).versions()
        challenger = self._challengers.get(model)
        return tuple(dict.fromkeys((*own, *(challenger.slot.versions() if challenger else ()))))

    def _slot_of(self, champion: ModelSlot, version: str | None, label: str | None) -> ModelSlot:
        """Where what was asked for is loaded: in the champion's slot, or in the challenger's."""
        if label is None and version is None:
            return champion
        challenger = self._challengers.get(champion.model)
        if label == CHALLENGER:
            if challenger is None or not challenger.slot.ready:
                raise NotServed(f"nothing challenges the champion of {champion.model}", (CHAMPION,))
            return challenger.slot
        if label not in {None, CHAMPION}:
            raise NotServed(f"no label {label!r} is known; labels are aliases", _LABELS)
        if version is None or champion.named(version) is not None:
            return champion
        if challenger is not None and challenger.slot.named(version) is not None:
            return challenger.slot
        known = self.versions(champion.model)
        raise NotServed(f"{champion.model} {version!r} is not loaded here", known)

    def _beside(
        self, answering: Callable[[ModelVersion], _Answer], asked: RequestContext, duel: Duel
    ) -> tuple[_Answer, LoadedVersion]:
        """An answer by the champion, recorded when it is sampled, or by a canary."""
        if duel.terms.mode == "shadow":
            if random.random() < duel.terms.share:
                return self._shadowed(answering, asked, duel)
        elif is_chosen(duel.challenge, asked.client, duel.terms.share):
            return self._canary(answering, asked, duel)
        return _answered(duel.champion, answering)

    def _shadowed(
        self, answering: Callable[[ModelVersion], _Answer], asked: RequestContext, duel: Duel
    ) -> tuple[_Answer, LoadedVersion]:
        with duel.champion.lease() as serves:
            recording = RecordingVersion(serves)
            answer = answering(recording)
        self._compare(recording, serves, asked, duel, by_challenger=False)
        return answer, serves

    def _canary(
        self, answering: Callable[[ModelVersion], _Answer], asked: RequestContext, duel: Duel
    ) -> tuple[_Answer, LoadedVersion]:
        champion = duel.champion
        try:
            with duel.challenger.slot.lease(wait_seconds=0) as loaded:
                if loaded is not duel.loaded:
                    raise NotServed("another version challenges by now", ())
                serves = champion.current()
                if serves is None:
                    raise NotServed(f"{champion.model} has no champion", ())
                duel.challenger.check_fits(serves, loaded)
                recording = RecordingVersion(loaded)
                answer = answering(recording)
                if recording.exchange is not None:
                    check_finite(recording.exchange.answers)
        except NotServed:
            # Withdrawn, stopped or followed by another in this moment.
            return _answered(champion, answering)
        except Exception as error:  # noqa: BLE001 - the champion shall answer, whatever it was
            # Counted once the champion has answered: what it refuses as well was no failure of
            # the challenger's, or whoever sends nonsense could have a challenger withdrawn.
            found = _answered(champion, answering)
            duel.notes.failed(error, asked.request_id)
            return found
        duel.notes.answered()
        self._compare(recording, serves, asked, duel, by_challenger=True)
        return answer, loaded

    def _compare(
        self,
        recording: RecordingVersion,
        champion: LoadedVersion,
        asked: RequestContext,
        duel: Duel,
        *,
        by_challenger: bool,
    ) -> None:
        if recording.exchange is not None:
            comparison = AnswerComparison(
                recording.exchange,
                champion=champion,
                challenger=duel.loaded,
                terms=duel.terms,
                notes=duel.notes,
                by_challenger=by_challenger,
                request_id=asked.request_id,
            )
            self._comparisons.offer(comparison)


def is_chosen(challenge: str, client: str, share: float) -> bool:
    """Whether a client belongs to the share that a canary answers; the same in every process.

    Each challenge draws anew, so that it is not always the same clients who try what is new.
    """
    drawn = f"{challenge}\0{client}".encode(errors="replace")
    found = hashlib.blake2b(drawn, digest_size=8)
    return int.from_bytes(found.digest()) < share * 2**64


def _answered(
    slot: ModelSlot,
    answering: Callable[[ModelVersion], _Answer],
    version: str | None = None,
) -> tuple[_Answer, LoadedVersion]:
    # Not `with slot.lease()`: its generator costs a microsecond, and this is every request.
    loaded = slot.acquire(version)
    try:
        return answering(loaded), loaded
    finally:
        slot.release(loaded)
