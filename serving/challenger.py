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
from store.errors import NotServed
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
        # Of the newest challenge and, for whoever still answers with it, of the one before.
        self._notes: tuple[Notes, ...] = ()
        self._lock = threading.Lock()
        # By their names: whatever held the versions themselves would keep them from being freed.
        self._fitting = ("", "", "")

    def tally(self) -> Tally | None:
        """What this worker counted of the newest challenge, over or not."""
        return self._notes[0].tally() if self._notes else None

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
        def overhearing(loaded: Loaded) -> tuple[_Answer, Overheard]:
            overheard = Overheard.of(loaded)
            return answering(overheard), overheard

        (answer, overheard), loaded = champion.answered_here(
            overhearing, wait_seconds=asked.wait_seconds
        )
        self._compare(overheard, loaded, asked, duel, by_challenger=False)
        return answer, loaded

    def _canary(
        self, champion: Slot, answering: Callable[[Loaded], _Answer], asked: Asked, duel: "_Duel"
    ) -> tuple[_Answer, Loaded]:
        try:
            with self.slot.lease(wait_seconds=0) as challenger:
                if challenger is not duel.challenger:
                    raise NotServed("another version challenges by now", ())
                overheard = Overheard.of(challenger)
                serves = self._check_fits(champion, challenger)
                answer = answering(overheard)
                if overheard.exchange is not None:
                    check_finite(overheard.exchange.answers)
        except NotServed:
            # Withdrawn, stopped or followed by another in this moment.
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
        """The champion's answer; what it does not answer either was no failure of the challenger's.

        Otherwise whoever sends what nobody can answer could have a challenger withdrawn.
        """
        found = _plain(champion, answering, asked)
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
        serves, (beside, judged, why) = champion.current(), self._fitting
        if serves is None:
            raise NotServed(f"{champion.model} has no champion", ())
        if (beside, judged) != (serves.version, challenger.version):
            why = difference(serves.manifest.tensors, challenger.manifest.tensors)
            self._fitting = (serves.version, challenger.version, why)
        if why:
            raise AnswersOtherwise(why)
        return serves

    def _notes_of(self, record: AliasRecord, terms: Terms) -> Notes:
        notes = self._notes_for(record)
        if notes is None:
            with self._lock:
                notes = self._notes_for(record)
                if notes is None:
                    notes = Notes(self._model, record, terms.mode)
                    current = self.slot.current()
                    is_late = current is not None and current.record != record
                    newest = self._notes[:1]
                    self._notes = (*newest, notes) if is_late else (notes, *newest)
        return notes

    def _notes_for(self, record: AliasRecord) -> Notes | None:
        return next((notes for notes in self._notes if notes.record == record.id), None)


def is_chosen(challenge: str, client: str, share: float) -> bool:
    """Whether a client belongs to the share that a canary answers; the same in every process.

    Each challenge draws anew, so that it is not always the same clients who try what is new.
    """
    drawn = f"{challenge}\0{client}".encode(errors="replace")
    found = hashlib.blake2b(drawn, digest_size=8)
    return int.from_bytes(found.digest()) < share * 2**64


@dataclass(frozen=True)
class _Duel:
    challenger: Loaded
    terms: Terms
    notes: Notes


def _plain(
    champion: Slot, answering: Callable[[Loaded], _Answer], asked: Asked
) -> tuple[_Answer, Loaded]:
    return champion.answered_here(answering, wait_seconds=asked.wait_seconds)
