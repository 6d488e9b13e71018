"""A model of the store: lists and dictionaries with one writer at a time.

Each operation has two parts: its checks when it starts, and its effect when it commits. One that
has nothing to write ends at once; the result is an `Outcome` either way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from overnight.store import errors

Rejoinder = type[errors.OvernightError]


@dataclass(frozen=True)
class Outcome:
    """An answer (`told`, as far as it is compared), or an error and who won instead."""

    reported: tuple[object, ...] = ()
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
    champion_sequence: int = 0

    @property
    def target(self) -> str | None:
        return None if self.action == "stopped" else self.version


# What comes of a commit; or one more commit, which whoever dies in between never comes to.
Commit = Callable[[], "Outcome | Commit"]
_COLLECTED = Outcome(error=errors.CollectedVersion)
Begun = Outcome | Commit


@dataclass
class StoreModel:
    """Everything that anybody may rely on."""

    published: dict[str, str] = field(default_factory=dict)
    decided: dict[str, tuple[str, str]] = field(default_factory=dict)
    champions: list[Record] = field(default_factory=list)
    challengers: list[Record] = field(default_factory=list)
    withdrawn: dict[int, str] = field(default_factory=dict)
    output: dict[tuple[int, str], bool] = field(default_factory=dict)
    words: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    landed: dict[str, bytes] = field(default_factory=dict)
    # Versions of which some file was written, and those whose files gc let go of.
    begun: set[str] = field(default_factory=set)
    collected: set[str] = field(default_factory=set)

    def publish(self, version: str, run: str) -> Begun:
        if version in self.collected:
            return _COLLECTED
        self.begun.add(version)

        def commit() -> Outcome:
            if self.published.setdefault(version, run) != run:
                return Outcome(error=errors.AlreadyExists)
            return _COLLECTED if version in self.collected else Outcome()

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
        log = self.champions
        if log and log[-1].version == version:
            return self._still_kept(log)
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
        replaced = {
            record.version: record.previous for record in log if record.action == "promoted"
        }
        target = replaced.get(over)
        if target is None:
            return Outcome(error=errors.ConfigurationError)
        if target in self.collected:
            return _COLLECTED
        return self._append(log, Record(target, "rolled back", by, over), over)

    def start(self, version: str, terms: object, by: str) -> Begun:
        log = self.challengers
        last = log[-1] if log else None
        if last is not None and self.challenges():
            if (last.version, last.terms) == (version, terms):
                return self._still_kept(log)
            return Outcome(error=errors.ChallengeRunning, winner=last.version)
        if not self.champions or version == self.champions[-1].version:
            return Outcome(error=errors.ConfigurationError)
        if (lost := self._lost(version)) is not None:
            return lost
        verdict = self.decided.get(version, ("", ""))[0]
        if verdict == "rejected" or (getattr(terms, "mode", "") == "canary" and verdict == ""):
            return Outcome(error=errors.ConfigurationError)
        over = last.target if last else None
        started = Record(version, "started", by, over, terms, champion_sequence=len(self.champions))
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
            self.output.setdefault((sequence, replica), serving)
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

    def collect(self) -> set[str]:
        """Whatever no rule keeps: neither served nor challenging, undecided, nor the newest."""
        named = {log[-1].target for log in (self.champions, self.challengers) if log}
        whole = self.published.keys() - self.collected
        kept = {max(whole, default=""), *named, *(whole - self.decided.keys())}
        if not self.champions:
            kept |= {one for one in whole if self.decided.get(one, ("", ""))[0] == "approved"}
        gone = self.begun - kept - self.collected
        self.collected |= gone
        return gone

    def challenges(self) -> bool:
        """Whether the newest challenge goes on: not stopped, not withdrawn, not champion."""
        sequence = len(self.challengers)
        last = self.challengers[-1]
        became = any(
            champion.version == last.version
            for champion in self.champions[last.champion_sequence :]
        )
        return last.target is not None and sequence not in self.withdrawn and not became

    def _lost(self, version: str) -> Outcome | None:
        if version not in self.published:
            return Outcome(error=errors.UnknownVersion)
        return _COLLECTED if version in self.collected else None

    def _unfit(self, version: str) -> Outcome | None:
        if (lost := self._lost(version)) is not None:
            return lost
        if self.decided.get(version, ("", ""))[0] != "approved":
            return Outcome(error=errors.ConfigurationError)
        return None

    def _still_kept(self, log: list[Record]) -> Begun:
        """The last record, unless gc took its version as it was written: then one more undoes it.

        Whoever wrote it may have died before they could.
        """
        last = log[-1]
        if last.version not in self.collected or last.action == "stopped":
            return Outcome(_told(log))
        if log is self.champions and last.previous is None:
            return _COLLECTED
        return lambda: self._undo(log)

    def _undo(self, log: list[Record]) -> Outcome:
        last = log[-1]
        if log is self.challengers:
            log.append(Record(last.version, "stopped", last.by, last.version))
        elif last.previous is not None:
            log.append(Record(last.previous, "rolled back", last.by, last.version))
        return _COLLECTED

    def _append(self, log: list[Record], record: Record, over: str | None) -> Begun:
        found = log[-1].target if log else None
        if found != over:
            return Outcome(error=errors.PromotionConflict, winner=found)
        sequence = len(log)

        def commit() -> Begun:
            if len(log) > sequence:
                return Outcome(error=errors.PromotionConflict, winner=log[sequence].target)
            log.append(record)
            return self._still_kept(log)

        return commit


def _told(log: list[Record]) -> tuple[object, ...]:
    last = log[-1]
    return (len(log), last.version, last.action, last.by)
