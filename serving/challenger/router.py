"""Router of prediction requests: to a model's champion, to its challenger, or to a named version.

It stands above the slots of both, which only lease. No failure of a challenger fails a request: the
champion answers instead.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from overnight.serving.challenger import earlier_inputs
from overnight.serving.challenger.comparison import (
    AnswerComparison,
    Comparisons,
    RecordedCall,
    check_finite,
)
from overnight.serving.challenger.counters import ChallengeCounters
from overnight.serving.challenger.earlier_inputs import WithoutInputs
from overnight.serving.errors import NotServed, UnfitInputs
from overnight.serving.history.input_eras import InputEra
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array, Predictor
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.telemetry.challenge_stats import ChallengeStats
from overnight.store.objects import keys
from overnight.store.predictions.records import Route
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER, CHAMPION
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import difference
from overnight.store.registry.manifest import Manifest

_LABELS = (CHAMPION, CHALLENGER)

_Answer = TypeVar("_Answer")
# An answer, the version that gave it, and which of the routes led to that version.
_Routed = tuple[_Answer, LoadedVersion, Route]


class IncompatibleChallenger(Exception):
    """The challenger cannot stand in for this champion: clients would misread its answers."""


@dataclass(frozen=True)
class RequestContext:
    """The client that sent a request, the id of the request, and the client's own id of it.

    `is_recorded`: whether the prediction log may have what other versions answer to it.
    """

    client: str = ""
    request_id: str = ""
    caller: str = ""
    is_recorded: bool = True


class RecordingVersion:
    """A leased version for one request; it records the call that the request makes to it."""

    ignored: frozenset[str] = frozenset()

    def __init__(self, loaded: LoadedVersion) -> None:
        self.predictor: Predictor = loaded.predictor
        self.call: RecordedCall | None = None

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    @property
    def version(self) -> str:
        return self.predictor.manifest.version

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Answer as the version itself does, and keep the rows and the answers."""
        answers = self.predictor.predict(inputs, outputs)
        self.call = RecordedCall(self.manifest.tensors, inputs, outputs, answers)
        return answers


@dataclass(frozen=True)
class ActiveChallenge:
    """A challenger that is active beside a champion: its loaded version, terms and counters."""

    champion: ModelSlot
    challenger: "Challenger"
    loaded: LoadedVersion
    id: str
    terms: Terms
    counters: ChallengeCounters


class Challenger:
    """One model's challenger in this worker: what is loaded, and the counters of its challenges."""

    def __init__(self, slot: ModelSlot, model: str) -> None:
        self.slot = slot
        self._model = model
        # Of the newest challenge and, for requests that it still answers, of the one before.
        self._counters: tuple[ChallengeCounters, ...] = ()
        self._lock = threading.Lock()
        # The last pair of versions whose tensors were compared, and how they differ.
        self._compatibility = ("", "", "")

    def stats(self) -> ChallengeStats | None:
        """What this worker counted of the newest challenge, over or not."""
        return self._counters[0].stats() if self._counters else None

    def active_challenge(self, champion: ModelSlot) -> ActiveChallenge | None:
        """The challenge that is active now; None, at the cost of one read, when there is none."""
        challenger = self.slot.current()
        if challenger is None:
            return None
        # The champion is read second: if it changes in between, it is at worst the challenger
        # itself, and then there is nothing to compare.
        serving, record = champion.current(), challenger.record
        if record is None or serving is None or serving.version == challenger.version:
            return None
        terms = record.terms
        if terms is None:
            return None
        counters = self._counters_of(record, terms)
        return ActiveChallenge(champion, self, challenger, record.id, terms, counters)

    def check_compatible(self, champion: LoadedVersion, challenger: LoadedVersion) -> None:
        """Compare the challenger's tensors with those of the champion as it is now.

        The store checked that at the start of the challenge; the champion may have moved since.

        Raises:
            IncompatibleChallenger: clients of this champion would misread the challenger's answers.
        """
        champion_version, challenger_version, reason = self._compatibility
        if (champion_version, challenger_version) != (champion.version, challenger.version):
            reason = difference(
                champion.manifest.tensors, challenger.manifest.tensors, mode="canary"
            )
            # One store of a whole tuple, so that no other thread reads half of it.
            self._compatibility = (champion.version, challenger.version, reason)
        if reason:
            raise IncompatibleChallenger(reason)

    def _counters_of(self, record: AliasRecord, terms: Terms) -> ChallengeCounters:
        counters = self._find_counters(record)
        if counters is None:
            # Looked up again under the lock: two requests may be the first of a challenge.
            with self._lock:
                counters = self._find_counters(record)
                if counters is None:
                    counters = ChallengeCounters(self._model, record, terms.mode)
                    current = self.slot.current()
                    is_late = current is not None and current.record != record
                    newest = self._counters[:1]
                    self._counters = (*newest, counters) if is_late else (counters, *newest)
        return counters

    def _find_counters(self, record: AliasRecord) -> ChallengeCounters | None:
        return next((known for known in self._counters if known.record == record.id), None)


class Router:
    """Which version answers a request, for all models of this process."""

    def __init__(
        self,
        slots: ModelSlots,
        challengers: Mapping[str, Challenger] = MappingProxyType({}),
        comparisons: Comparisons | None = None,
        eras: Callable[[str], Sequence[InputEra]] = lambda _: (),
    ) -> None:
        """`challengers` by model; a model without one there is answered by its champion alone.

        `eras`: which inputs the champions of a model took, newest first; read for requests that the
        champion cannot answer.
        """
        self.slots = slots
        self._challengers = challengers
        self._comparisons = comparisons or Comparisons()
        self._eras = eras

    def predict(
        self,
        model: str,
        answering: Callable[[ModelVersion], _Answer],
        *,
        version: str | None = None,
        label: str | None = None,
        client: str = "",
        request_id: str = "",
        caller: str = "",
        is_recorded: bool = True,
    ) -> _Routed[_Answer]:
        """An answer by one version throughout, that version, and the route to it.

        It is the current one, or one by name or label; a request that names neither may be answered
        by a canary, or where it has inputs that only an earlier version takes, by that one.

        Raises:
            NotServed: nothing is loaded (yet), or not the model or version that was named.
            UnfitInputs: no version takes these inputs; says what changed.
        """
        slot = self.slots.find(model)
        if version is not None or label is not None:
            version = self._name_of(model, version)
            named = self._slot_of(slot, version, label)
            return _answered(named, answering, version, route="named")
        try:
            challenger = self._challengers.get(model)
            if (
                challenger is not None
                and (challenge := challenger.active_challenge(slot)) is not None
            ):
                context = RequestContext(client, request_id, caller, is_recorded)
                return self._challenged(answering, context, challenge)
            return _answered(slot, answering)
        except UnfitInputs as error:
            return self._answered_earlier(slot, answering, error)

    def _answered_earlier(
        self, slot: ModelSlot, answering: Callable[[ModelVersion], _Answer], unfit: UnfitInputs
    ) -> _Routed[_Answer]:
        """Answer a request of a client that knows an earlier version's inputs.

        By the current version, where it needs nothing else and what is sent too much was an input
        once; else by the last champion that took these inputs, as long as it can serve.

        Raises:
            UnfitInputs: neither can; says what changed.
            NotServed: the earlier version is about to be loaded.
        """
        # `unfit` itself is never raised here: this frame would then be in its traceback and refer
        # to it, a cycle that keeps a version in memory until the next garbage collection.
        eras, current = self._eras(slot.model), slot.current()
        if not eras or current is None:
            raise unfit.explained("") from None
        signature = earlier_inputs.current_signature(current)
        ignored = earlier_inputs.ignorable(unfit.sent, signature, eras)
        if ignored:
            return _answered(slot, lambda loaded: answering(WithoutInputs(loaded, ignored)))
        changes = earlier_inputs.changes(unfit.sent, signature, eras)
        era = earlier_inputs.answering(unfit.sent, signature, eras)
        if era is None:
            raise unfit.explained(changes) from None
        try:
            loaded = slot.acquire_earlier(era.last)
        except NotServed as error:
            if error.soon:
                raise
            why = f"version {era.version} took them and cannot answer any more: {error}"
            raise unfit.explained(f"{changes}; {why}" if changes else why) from None
        try:
            return answering(loaded), loaded, "earlier"
        finally:
            slot.release(loaded, era.version)

    @contextmanager
    def lease(
        self, model: str, version: str | None = None, *, label: str | None = None
    ) -> Iterator[LoadedVersion]:
        """Hold the champion of a model, or a version by name or label, throughout a request.

        Raises:
            NotServed: as `predict`.
        """
        champion = self.slots.find(model)
        version = self._name_of(model, version)
        slot = self._slot_of(champion, version, label)
        with slot.lease(version) as loaded:
            yield loaded

    def versions(self, model: str) -> tuple[str, ...]:
        """The versions of a model that answer here by name, newest first.

        Raises:
            NotServed: no such model is served here.
        """
        own = self.slots.find(model).versions()
        challenger = self._challengers.get(model)
        return tuple(dict.fromkeys((*own, *(challenger.slot.versions() if challenger else ()))))

    def _name_of(self, model: str, version: str | None) -> str | None:
        """The name of a version that is given by its name or its number.

        Raises:
            NotServed: two loaded versions have this number.
        """
        if version is None or not version.isdigit():
            return version
        named = [name for name in self.versions(model) if str(keys.number_of(name)) == version]
        if len(named) > 1:
            raise NotServed(f"{model} {version!r} is the number of several versions", tuple(named))
        return named[0] if named else version

    def _slot_of(self, champion: ModelSlot, version: str | None, label: str | None) -> ModelSlot:
        """The slot that has a version or label: the champion's, or the challenger's."""
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

    def _challenged(
        self,
        answering: Callable[[ModelVersion], _Answer],
        context: RequestContext,
        challenge: ActiveChallenge,
    ) -> _Routed[_Answer]:
        """An answer by the champion, recorded when it is sampled, or by a canary."""
        if challenge.terms.mode == "shadow":
            if random.random() < challenge.terms.share:
                return self._shadowed(answering, context, challenge)
        elif is_chosen(challenge.id, context.client, challenge.terms.share):
            return self._canary(answering, context, challenge)
        return _answered(challenge.champion, answering)

    def _shadowed(
        self,
        answering: Callable[[ModelVersion], _Answer],
        context: RequestContext,
        challenge: ActiveChallenge,
    ) -> _Routed[_Answer]:
        with challenge.champion.lease() as serving:
            recording = RecordingVersion(serving)
            answer = answering(recording)
        self._compare(recording, serving, context, challenge, by_challenger=False)
        return answer, serving, "champion"

    def _canary(
        self,
        answering: Callable[[ModelVersion], _Answer],
        context: RequestContext,
        challenge: ActiveChallenge,
    ) -> _Routed[_Answer]:
        champion = challenge.champion
        try:
            with challenge.challenger.slot.lease(wait_seconds=0) as loaded:
                if loaded is not challenge.loaded:
                    raise NotServed("another version challenges by now", ())
                serving = champion.current()
                if serving is None:
                    raise NotServed(f"{champion.model} has no champion", ())
                challenge.challenger.check_compatible(serving, loaded)
                recording = RecordingVersion(loaded)
                answer = answering(recording)
                if recording.call is not None:
                    check_finite(recording.call.answers)
        except NotServed:
            # Withdrawn, stopped or replaced at this moment.
            return _answered(champion, answering)
        except Exception as error:  # noqa: BLE001 - the champion answers, whatever it was
            # Counted once the champion has answered: a request that it refuses as well is no
            # failure of the challenger, or clients that send nonsense could have one withdrawn.
            answered = _answered(champion, answering)
            challenge.counters.count_failed(error, context.request_id)
            return answered
        challenge.counters.count_answered()
        self._compare(recording, serving, context, challenge, by_challenger=True)
        return answer, loaded, "canary"

    def _compare(
        self,
        recording: RecordingVersion,
        champion: LoadedVersion,
        context: RequestContext,
        challenge: ActiveChallenge,
        *,
        by_challenger: bool,
    ) -> None:
        if recording.call is not None:
            comparison = AnswerComparison(
                recording.call,
                champion=champion,
                challenger=challenge.loaded,
                terms=challenge.terms,
                counters=challenge.counters,
                by_challenger=by_challenger,
                request_id=context.request_id,
                client=context.client,
                caller=context.caller,
                is_recorded=context.is_recorded,
            )
            self._comparisons.offer(comparison)


def is_chosen(challenge: str, client: str, share: float) -> bool:
    """Whether a client belongs to the share that a canary answers; the same in every process.

    Each challenge draws anew, so that it is not always the same clients that try new versions.
    """
    key = f"{challenge}\0{client}".encode(errors="replace")
    digest = hashlib.blake2b(key, digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def _answered(
    slot: ModelSlot,
    answering: Callable[[ModelVersion], _Answer],
    version: str | None = None,
    *,
    route: Route = "champion",
) -> _Routed[_Answer]:
    # Not `with slot.lease()`: its generator costs a microsecond, and this is every request.
    loaded = slot.acquire(version)
    try:
        return answering(loaded), loaded, route
    finally:
        slot.release(loaded, version)
