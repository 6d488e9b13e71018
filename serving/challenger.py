"""One model's challenger in one worker: which requests it gets, and what comes of them.

Nothing that it does makes a request fail: whatever it does not answer well, the champion answers.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from serving.challenge_notes import Notes
from serving.comparing import Comparison, Comparisons, Exchange, check_finite
from serving.predictor import Array
from serving.slots import Asked, Loaded, Slot
from serving.tally import Tally
from store.aliases import AliasRecord
from store.challenging import difference
from store.errors import BadInput, NotServed
from store.terms import Terms

_Answer = TypeVar("_Answer")


class AnswersOtherwise(Exception):
    """The challenger cannot stand in for this champion: clients would not understand it."""


@dataclass
class Overheard(Loaded):
    """One request's view of a generation, which remembers what it was asked and answered."""

    exchange: Exchange | None = None

    @classmethod
    def of(cls, loaded: Loaded) -> "Overheard":
        return cls(loaded.generation, loaded.predictor, loaded.record)

    def answer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        answers = super().answer(inputs, wanted)
        self.exchange = Exchange(self.predictor.inputs, inputs, wanted, answers)
        return answers


class Challenger:
    """What is loaded, on which terms, and the tally of the newest challenge."""

    def __init__(self, slot: Slot, model: str, comparisons: Comparisons) -> None:
        self.slot = slot
        self._model, self._comparisons = model, comparisons
        self._notes: Notes | None = None
        self._lock = threading.Lock()
        self._fitting: tuple[Loaded, Loaded, str] | None = None

    def tally(self) -> Tally | None:
        """What this worker counted of the newest challenge, over or not."""
        return self._notes.tally() if self._notes else None

    def answered(
        self, champion: Slot, answering: Callable[[Loaded], _Answer], asked: Asked
    ) -> tuple[_Answer, Loaded]:
        """An answer by the champion, overheard when it is sampled, or by a canary.

        Raises:
            NotServed, BadInput: as the champion does.
        """
        challenger, serves = self.slot.current(), champion.current()
        record = challenger.record if challenger else None
        terms = record.terms if record else None
        if (
            challenger is None
            or record is None
            or terms is None
            or serves is None
            or serves.version == challenger.version
        ):
            return _plain(champion, answering, asked)
        notes = self._notes_of(record, terms)
        if terms.mode == "shadow":
            if random.random() >= terms.share:
                return _plain(champion, answering, asked)
            return self._shadowed(champion, answering, asked, _Duel(challenger, terms, notes))
        if not is_chosen(record.id, asked.client, terms.share):
            return _plain(champion, answering, asked)
        return self._canary(champion, answering, asked, _Duel(challenger, terms, notes))

    def _shadowed(
        self, champion: Slot, answering: Callable[[Loaded], _Answer], asked: Asked, duel: "_Duel"
    ) -> tuple[_Answer, Loaded]:
        with champion.lease(wait_seconds=asked.wait_seconds) as loaded:
            overheard = Overheard.of(loaded)
            answer = answering(overheard)
        self._compare(overheard, loaded, asked, duel, by_challenger=False)
        return answer, loaded

    def _canary(
        self, champion: Slot, answering: Callable[[Loaded], _Answer], asked: Asked, duel: "_Duel"
    ) -> tuple[_Answer, Loaded]:
        try:
            with self.slot.lease(wait_seconds=0) as challenger:
                overheard = Overheard.of(challenger)
                serves = self._check_fits(champion, challenger)
                answer = answering(overheard)
                if overheard.exchange is not None:
                    check_finite(overheard.exchange.answers)
        except NotServed:
            # Withdrawn or stopped in this moment.
            return _plain(champion, answering, asked)
        except Exception as error:  # noqa: BLE001 - the champion shall answer, whatever it was
            return self._stood_in(champion, answering, asked, duel, error)
        duel.notes.answered()
        self._compare(overheard, serves, asked, duel, by_challenger=True)
        return answer, challenger

    def _stood_in(
        self,
        champion: Slot,
        answering: Callable[[Loaded], _Answer],
        asked: Asked,
        duel: "_Duel",
        error: Exception,
    ) -> tuple[_Answer, Loaded]:
        """The champion's answer; what it refuses as well was no failure of the challenger's."""
        try:
            found = _plain(champion, answering, asked)
        except BadInput:
            if not isinstance(error, BadInput):
                duel.notes.failed(error, asked.request_id)
            raise
        duel.notes.failed(error, asked.request_id)
        return found

    def _compare(
        self,
        overheard: Overheard,
        champion: Loaded,
        asked: Asked,
        duel: "_Duel",
        *,
        by_challenger: bool,
    ) -> None:
        if overheard.exchange is not None:
            comparison = Comparison(
                overheard.exchange,
                champion=champion,
                challenger=duel.challenger,
                terms=duel.terms,
                notes=duel.notes,
                by_challenger=by_challenger,
                request_id=asked.request_id,
            )
            self._comparisons.offer(comparison)

    def _check_fits(self, champion: Slot, challenger: Loaded) -> Loaded:
        """The champion as it is now, provided its clients understand the challenger.

        The rules of the store see to that at the start; the champion may have moved since.
        """
        serves, fitting = champion.current(), self._fitting
        if serves is None:
            raise NotServed(f"{champion.model} has no champion", ())
        if fitting is None or fitting[0] is not serves or fitting[1] is not challenger:
            why = difference(serves.manifest.tensors, challenger.manifest.tensors)
            fitting = self._fitting = (serves, challenger, why)
        if fitting[2]:
            raise AnswersOtherwise(fitting[2])
        return serves

    def _notes_of(self, record: AliasRecord, terms: Terms) -> Notes:
        notes = self._notes
        if notes is None or notes.record != record.id:
            with self._lock:
                if self._notes is None or self._notes.record != record.id:
                    self._notes = Notes(self._model, record, terms.mode)
                notes = self._notes
        return notes


def is_chosen(challenge: str, client: str, share: float) -> bool:
    """Whether a client belongs to the share that a canary answers; the same in every process.

    Each challenge draws anew, so that it is not always the same clients who try what is new.
    """
    found = hashlib.blake2b(client.encode(errors="replace"), digest_size=8, key=challenge.encode())
    return int.from_bytes(found.digest()) < share * 2**64


@dataclass(frozen=True)
class _Duel:
    challenger: Loaded
    terms: Terms
    notes: Notes


def _plain(
    champion: Slot, answering: Callable[[Loaded], _Answer], asked: Asked
) -> tuple[_Answer, Loaded]:
    with champion.lease(wait_seconds=asked.wait_seconds) as loaded:
        return answering(loaded), loaded
