"""Aliases: append-only logs that say which version a name points at, since when, by whom and why.

Exactly one writer wins each sequence number, so promotion is a compare-and-swap: read record n,
write record n+1, or lose and be told who won. Rolling back is one more record, and so is stopping
a challenger, after which the alias points at nothing.
"""

import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field, ValidationError

from overnight.store.errors import (
    AlreadyExists,
    BadKey,
    ConfigurationError,
    CorruptRecord,
    PromotionConflict,
)
from overnight.store.objects import keys, sequence_log
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.registry.actor import Actor
from overnight.store.registry.challenge_terms import Terms
from overnight.store.values import Value

CHAMPION = "champion"
CHALLENGER = "challenger"
Action = Literal["promoted", "rolled back", "started", "stopped"]


class AliasRecord(Value):
    """One entry of the log. `id` tells two writers of the same words apart.

    A challenger's has its `terms`, and `beside`, the sequence of the champion's record that it
    began beside. A stopped record names the version that it stopped. `proved`: a token showed
    that it was `by`; else it is what somebody typed.
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
    beside: int = 0
    proved: bool = False
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def target(self) -> str | None:
        """The version that the alias points at since this record, if any."""
        return None if self.action == "stopped" else self.version


class Acknowledgement(Value):
    """What one replica said about one record: it serves the version, or refused it, because."""

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
        """What is said of it stands under this name: the model's own for its champion."""
        return self.model if self.alias == CHAMPION else f"{self.model}@{self.alias}"

    @property
    def _whole_name(self) -> str:
        return f"{self.model}@{self.alias}"

    def at(self, sequence: int) -> AliasRecord | None:
        """Record `sequence`, or None while nobody has written it: one small GET.

        Raises:
            CorruptRecord: what is there is no record, or one of another log or number.
        """
        key = keys.alias_record(self.model, self.alias, sequence)
        record = read(AliasRecord, self._bucket, key)
        if record is not None and _key_of(record) != key:
            raise CorruptRecord(key, expected="its own record", found=f"that of {_key_of(record)}")
        return record

    def sequences(self) -> list[int]:
        """Every sequence in the log, ascending."""
        found = sequence_log.named(self._bucket, keys.alias(self.model, self.alias))
        # Records have no gaps, so that names which stand for none come last.
        return found if not found or self.at(found[-1]) else self._recorded()

    def current(self, *, since: int | None = None) -> AliasRecord | None:
        """The newest record. Lists once, unless `since` names a record known to exist.

        A listing may be stale; walking on from it to the first gap is not.
        """
        newest = self.at(since) if since is not None else self._last_listed()
        while newest is not None and (following := self.at(newest.sequence + 1)) is not None:
            newest = following
        return newest

    def _last_listed(self) -> AliasRecord | None:
        found = sequence_log.named(self._bucket, keys.alias(self.model, self.alias))
        last = self.at(found[-1] if found else 1)
        if last is None and found and (recorded := self._recorded()):
            return self.at(recorded[-1])
        return last

    def _recorded(self) -> list[int]:
        return sequence_log.recorded(self._bucket, keys.alias(self.model, self.alias))

    def history(self) -> list[AliasRecord]:
        """Every record, oldest first, those included that a stale listing leaves out."""
        newest = self.current()
        if newest is None:
            return []
        records = (self.at(sequence) for sequence in range(1, newest.sequence))
        return [*(record for record in records if record is not None), newest]

    def previous(self, version: str) -> str:
        """The version that a rollback from `version` returns to.

        Undoing follows the records backwards: what a promotion replaced comes back, and rolling
        back twice goes back twice instead of forth.

        Raises:
            ConfigurationError: nothing served before it.
        """
        replaced = {
            record.version: record.previous
            for record in self.history()
            if record.action == "promoted"
        }
        target = replaced.get(version)
        if target is None:
            raise ConfigurationError(
                f"nothing served {self.model} before {version}; name a version with `to`"
            )
        return target

    def append(
        self,
        version: str,
        *,
        expected: str | None,
        actor: Actor,
        action: Action = "promoted",
        terms: Terms | None = None,
        beside: int = 0,
        after: int | None = None,
    ) -> AliasRecord:
        """Point the alias at `version`, provided it still points at `expected`; None for nothing.

        `after`: the sequence of the newest record that was judged, 0 for an empty log, where it
        matters that an alias moved away and back meanwhile.

        Raises:
            PromotionConflict: it points elsewhere, or somebody wrote the same sequence first.
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
            beside=beside,
            proved=actor.authenticated,
        )
        self._write(record)
        return record

    def _checked(self, expected: str | None, after: int | None) -> AliasRecord | None:
        """The newest record, when it is the one that was judged."""
        current = self.current()
        found, last = (current.target, current.sequence) if current else (None, 0)
        if found != expected:
            raise PromotionConflict(self._whole_name, expected=expected, found=found)
        if after is not None and last != after:
            raise PromotionConflict(
                self._whole_name,
                expected=f"{expected or 'no version'} of record {after}",
                found=f"{found or 'none'} of record {last}",
            )
        return current

    def _write(self, record: AliasRecord) -> None:
        key = keys.alias_record(self.model, self.alias, record.sequence)
        try:
            self._bucket.create(key, record.encoded())
        except AlreadyExists:
            winner = self.at(record.sequence)
            found = winner.target if winner else None
            raise PromotionConflict(
                self._whole_name, expected=record.previous, found=found
            ) from None

    def acknowledge(self, sequence: int, acknowledgement: Acknowledgement) -> None:
        """Say once what became of a record here; what was said first stands."""
        key = keys.replica(self.model, self.alias, sequence, acknowledgement.replica)
        try:
            self._bucket.create(key, acknowledgement.encoded())
        except AlreadyExists:
            return

    def acknowledgements(self, sequence: int) -> list[Acknowledgement]:
        """What every replica said so far about a record; what cannot be read says nothing."""
        said = []
        for key in self._bucket.keys_below(keys.replicas(self.model, self.alias, sequence)):
            with suppress(ValidationError, BadKey):
                said.append(Acknowledgement.model_validate_json(self._bucket.read(key)))
        return said


def _key_of(record: AliasRecord) -> str:
    """Where a record says that it belongs, whatever it says: only to be compared and told."""
    return f"models/{record.model}/aliases/{record.alias}/{record.sequence:08d}.json"
