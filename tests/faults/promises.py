"""What the store promises, said plainly: lists and dictionaries, one writer at a time.

Each operation is two functions: what it finds when it begins, and what comes of it when it commits.
An operation that finds nothing to write is over at once; its outcome is an `Outcome` either way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from store import errors

Rejoinder = type[errors.OvernightError]


@dataclass(frozen=True)
class Outcome:
    """An answer (`told`, as far as it is compared), or an error and who won instead."""

    told: tuple[object, ...] = ()
    error: Rejoinder | None = None
    winner: str | None = None


@dataclass(frozen=True)
class Record:
    """One entry of an alias' log."""

    version: str
    action: str
    by: str
    previous: str | None
    terms: object = None
    beside: int = 0

    @property
    def target(self) -> str | None:
        return None if self.action == "stopped" else self.version


Commit = Callable[[], Outcome]
Begun = Outcome | Commit


@dataclass
class Promises:
    """Everything that anybody may rely on."""

    published: dict[str, str] = field(default_factory=dict)
    decided: dict[str, tuple[str, str]] = field(default_factory=dict)
    champions: list[Record] = field(default_factory=list)
    challengers: list[Record] = field(default_factory=list)
    withdrawn: dict[int, str] = field(default_factory=dict)
    said: dict[tuple[int, str], bool] = field(default_factory=dict)
    words: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    landed: dict[str, bytes] = field(default_factory=dict)

    def publish(self, version: str, run: str) -> Begun:
        def commit() -> Outcome:
            if self.published.setdefault(version, run) != run:
                return Outcome(error=errors.AlreadyExists)
            return Outcome()

        return commit

    def decide(self, version: str, verdict: str, by: str) -> Begun:
        if version not in self.published:
            return Outcome(error=errors.UnknownVersion)

        def commit() -> Outcome:
            first = self.decided.setdefault(version, (verdict, by))
            if first[0] != verdict:
                return Outcome(error=errors.AlreadyDecided, winner=first[1])
            return Outcome(first)

        return commit

    def promote(self, version: str, over: str | None, by: str) -> Begun:
        if self.champions and self.champions[-1].version == version:
            return Outcome(_told(self.champions))
        if (unfit := self._unfit(version)) is not None:
            return unfit
        return self._append(self.champions, Record(version, "promoted", by, over), over)

    def roll_back(self, over: str | None, by: str) -> Begun:
        log = self.champions
        if not log or over is None:
            return Outcome(error=errors.ConfigurationError)
        last = log[-1]
        if (last.action, last.previous) == ("rolled back", over) and last.version != over:
            return Outcome(_told(log))
        if last.version != over:
            return Outcome(error=errors.PromotionConflict, winner=last.version)
        replaced = {one.version: one.previous for one in log if one.action == "promoted"}
        target = replaced.get(over)
        if target is None:
            return Outcome(error=errors.ConfigurationError)
        return self._append(log, Record(target, "rolled back", by, over), over)

    def start(self, version: str, terms: object, by: str) -> Begun:
        log = self.challengers
        last = log[-1] if log else None
        if last is not None and self.challenges():
            if (last.version, last.terms) == (version, terms):
                return Outcome(_told(log))
            return Outcome(error=errors.ChallengeRunning, winner=last.version)
        if not self.champions or version == self.champions[-1].version:
            return Outcome(error=errors.ConfigurationError)
        if version not in self.published:
            return Outcome(error=errors.UnknownVersion)
        verdict = self.decided.get(version, ("", ""))[0]
        if verdict == "rejected" or (getattr(terms, "mode", "") == "canary" and verdict == ""):
            return Outcome(error=errors.ConfigurationError)
        over = last.target if last else None
        started = Record(version, "started", by, over, terms, beside=len(self.champions))
        return self._append(log, started, over)

    def stop(self, over: str | None, by: str) -> Begun:
        log = self.challengers
        if not log or log[-1].target is None:
            return Outcome(error=errors.NoChallenge)
        last = log[-1]
        if not self.challenges():
            return Outcome(error=errors.NoChallenge)
        if over not in {None, last.version}:
            return Outcome(error=errors.PromotionConflict, winner=last.version)
        return self._append(log, Record(last.version, "stopped", by, last.version), last.version)

    def withdraw(self, sequence: int, replica: str) -> Begun:
        return lambda: Outcome((self.withdrawn.setdefault(sequence, replica),))

    def acknowledge(self, sequence: int, replica: str, *, serving: bool) -> Begun:
        def commit() -> Outcome:
            self.said.setdefault((sequence, replica), serving)
            return Outcome()

        return commit

    def say(self, arrival: str, verdict: str, by: str) -> Begun:
        def spoken() -> Outcome:
            log = self.words.setdefault(arrival, [])
            if not log or log[-1][0] != verdict:
                log.append((verdict, by))
            return Outcome((*log[-1], len(log)))

        log = self.words.get(arrival)
        return Outcome((*log[-1], len(log))) if log and log[-1][0] == verdict else spoken

    def land(self, name: str, body: bytes) -> Begun:
        def commit() -> Outcome:
            if self.landed.setdefault(name, body) != body:
                return Outcome(error=errors.AlreadyExists)
            return Outcome()

        return commit

    def challenges(self) -> bool:
        """Whether the newest challenge goes on: not stopped, not withdrawn, not champion."""
        sequence = len(self.challengers)
        last = self.challengers[-1]
        became = any(one.version == last.version for one in self.champions[last.beside :])
        return last.target is not None and sequence not in self.withdrawn and not became

    def _unfit(self, version: str) -> Outcome | None:
        if version not in self.published:
            return Outcome(error=errors.UnknownVersion)
        if self.decided.get(version, ("", ""))[0] != "approved":
            return Outcome(error=errors.ConfigurationError)
        return None

    def _append(self, log: list[Record], record: Record, over: str | None) -> Begun:
        found = log[-1].target if log else None
        if found != over:
            return Outcome(error=errors.PromotionConflict, winner=found)
        sequence = len(log)

        def commit() -> Outcome:
            if len(log) > sequence:
                return Outcome(error=errors.PromotionConflict, winner=log[sequence].target)
            log.append(record)
            return Outcome(_told(log))

        return commit


def _told(log: list[Record]) -> tuple[object, ...]:
    last = log[-1]
    return (len(log), last.version, last.action, last.by)
