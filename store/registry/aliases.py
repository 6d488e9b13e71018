"""Aliases: append-only logs of which version a name points at, since when, by whom and why.

Exactly one writer wins each sequence number, so promotion is a compare-and-swap: read record n,
create record n+1, or fail with the winner's record. A rollback is one more record, and so is
stopping a challenger, after which the alias points at nothing.
"""

import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from overnight.store.errors import (
    AlreadyExists,
    BadKey,
    ConfigurationError,
    CorruptRecord,
    PromotionConflict,
)
from overnight.store.objects import keys, sequence_log
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import existing, read
from overnight.store.registry.actor import Actor
from overnight.store.registry.challenge_terms import Terms
from overnight.store.values import Value

CHAMPION = "champion"
CHALLENGER = "challenger"
Action = Literal["promoted", "rolled back", "started", "stopped"]


class AliasRecord(Value):
    """One entry in the log of an alias.

    A record of the challenger has the `terms` of the challenge, and in `champion_sequence` the
    sequence of the champion's record at its start. A stopped record names the version that was
    stopped. `authenticated`: a token authenticated the actor `by`; otherwise the name is a claim.
    """

    format: int = 1
    model: str
    alias: str
    sequence: int
    version: str
    previous: str | None
    action: Action
    by: str
    reason: str
    at: datetime
    terms: Terms | None = None
    champion_sequence: int = Field(default=0, alias="beside")
    authenticated: bool = Field(default=False, alias="proved")
    # Two writers of otherwise equal records differ in it, so that only one recognises its own.
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def target(self) -> str | None:
        """The version that the alias points at from this record on, if any."""
        return None if self.action == "stopped" else self.version


class Acknowledgement(Value):
    """A serving host's report on one record: it serves the version, or refuses it with a reason."""

    replica: str
    version: str
    serving: bool
    reason: str = ""
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class AliasLog:
    """The log of one alias of one model."""

    def __init__(self, bucket: Bucket, model: str, alias: str = CHAMPION) -> None:
        self._bucket = bucket
        self.model, self.alias = model, alias

    @property
    def name(self) -> str:
        """The alias in reports: the model's own name stands for its champion."""
        return self.model if self.alias == CHAMPION else f"{self.model}@{self.alias}"

    @property
    def _whole_name(self) -> str:
        return f"{self.model}@{self.alias}"

    def at(self, sequence: int) -> AliasRecord | None:
        """Record `sequence`, or None while nobody has written it: one small GET.

        Raises:
            CorruptRecord: the object is no record, or belongs to another log or sequence.
        """
        key = keys.alias_record(self.model, self.alias, sequence)
        record = read(AliasRecord, self._bucket, key)
        # A record copied from elsewhere would promote a version that nobody promoted here.
        if record is not None and _key_of(record) != key:
            raise CorruptRecord(key, expected="its own record", found=f"that of {_key_of(record)}")
        return record

    def sequences(self) -> list[int]:
        """Every sequence in the log, ascending."""
        listed = sequence_log.named(self._bucket, keys.alias(self.model, self.alias))
        # Records have no gaps, so if the last name has a record, all of them have.
        return listed if not listed or self.at(listed[-1]) else self._recorded()

    def current(self, *, since: int | None = None) -> AliasRecord | None:
        """The newest record. Lists once, unless `since` names a record known to exist.

        A listing may be stale; single reads from its end to the first gap are not.
        """
        newest = self.at(since) if since is not None else self._last_listed()
        while newest is not None and (following := self.at(newest.sequence + 1)) is not None:
            newest = following
        return newest

    def _last_listed(self) -> AliasRecord | None:
        listed = sequence_log.named(self._bucket, keys.alias(self.model, self.alias))
        last = self.at(listed[-1] if listed else 1)
        if last is None and listed and (recorded := self._recorded()):
            return self.at(recorded[-1])
        return last

    def _recorded(self) -> list[int]:
        return sequence_log.recorded(self._bucket, keys.alias(self.model, self.alias))

    def history(self) -> list[AliasRecord]:
        """Every record, oldest first, including those that a stale listing leaves out."""
        newest = self.current()
        if newest is None:
            return []
        records = (self.at(sequence) for sequence in range(1, newest.sequence))
        return [*(record for record in records if record is not None), newest]

    def previous(self, version: str) -> str:
        """The version that a rollback from `version` returns to.

        The history is walked as a stack: a promotion puts its version on top, and a rollback takes
        off whatever served after its target. So repeated rollbacks go back champion by champion to
        the first, also after a version was promoted a second time.

        Raises:
            ConfigurationError: no version served before it.
        """
        served: list[str] = []
        for record in self.history():
            if record.action == "rolled back" and record.version in served:
                while served[-1] != record.version:
                    served.pop()
            elif served[-1:] != [record.version]:
                served.append(record.version)
        if served[-1:] != [version] or len(served) == 1:
            raise ConfigurationError(
                f"nothing served {self.model} before {version}; name a version with `to`"
            )
        return served[-2]

    def append(
        self,
        version: str,
        *,
        expected: str | None,
        actor: Actor,
        action: Action = "promoted",
        terms: Terms | None = None,
        champion_sequence: int = 0,
        after: int | None = None,
    ) -> AliasRecord:
        """Point the alias at `version`, provided it still points at `expected` (None: at nothing).

        `after`: the sequence of the last record that the caller knows, 0 for an empty log. With it
        an alias that moved away and back meanwhile is a conflict too.

        Raises:
            PromotionConflict: it points elsewhere, or another writer won the sequence number.
        """
        current = self._checked(expected, after)
        record = AliasRecord(
            model=self.model,
            alias=self.alias,
            sequence=current.sequence + 1 if current else 1,
            version=version,
            previous=expected,
            action=action,
            by=actor.name,
            reason=actor.reason,
            at=datetime.now(UTC),
            terms=terms,
            champion_sequence=champion_sequence,
            authenticated=actor.authenticated,
        )
        self._write(record)
        return record

    def _checked(self, expected: str | None, after: int | None) -> AliasRecord | None:
        """The newest record, provided it is the one that the caller expects."""
        current = self.current()
        target, last = (current.target, current.sequence) if current else (None, 0)
        if target != expected:
            raise PromotionConflict(self._whole_name, expected=expected, found=target)
        if after is not None and last != after:
            raise PromotionConflict(
                self._whole_name,
                expected=f"{expected or 'no version'} of record {after}",
                found=f"{target or 'none'} of record {last}",
            )
        return current

    def _write(self, record: AliasRecord) -> None:
        key = keys.alias_record(self.model, self.alias, record.sequence)
        try:
            # The compare-and-swap: of all writers that read record n, one creates record n+1.
            self._bucket.create(key, record.encoded())
        except AlreadyExists:
            winner = self.at(record.sequence)
            raise PromotionConflict(
                self._whole_name,
                expected=record.previous,
                found=winner.target if winner else None,
            ) from None

    def acknowledge(self, sequence: int, acknowledgement: Acknowledgement) -> None:
        """Report once whether this host serves a record's version; the first report stands."""
        key = keys.replica(self.model, self.alias, sequence, acknowledgement.replica)
        with suppress(AlreadyExists):
            self._bucket.create(key, acknowledgement.encoded())

    def acknowledgements(self, sequence: int) -> list[Acknowledgement]:
        """The reports of all replicas about a record so far; unreadable ones are left out."""
        acknowledgements = []
        for key in self._bucket.keys_below(keys.replicas(self.model, self.alias, sequence)):
            # Serving hosts write here: a bad object of one host must not stop the others.
            with suppress(CorruptRecord, BadKey):
                acknowledgements.append(existing(Acknowledgement, self._bucket, key))
        return acknowledgements


def _key_of(record: AliasRecord) -> str:
    """The key that a record's fields name; unchecked, for comparison and messages only."""
    return f"models/{record.model}/aliases/{record.alias}/{record.sequence:08d}.json"
