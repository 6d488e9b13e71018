"""Aliases: append-only logs that say which version a name points at, since when, by whom and why.

Exactly one writer wins each sequence number, so promotion is a compare-and-swap: read record n,
write record n+1, or lose and be told who won. Rolling back is one more record, and so is stopping
a challenger, after which the alias points at nothing.
"""

import uuid
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from store import keys
from store.bucket import Bucket
from store.errors import AlreadyExists, NotFound, PromotionConflict
from store.schema import Value
from store.terms import Terms

CHAMPION = "champion"
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

    def at(self, sequence: int) -> AliasRecord | None:
        """Record `sequence`, or None while nobody has written it: one small GET."""
        try:
            body = self._bucket.read(keys.alias_record(self.model, self.alias, sequence))
        except NotFound:
            return None
        return AliasRecord.model_validate_json(body)

    def sequences(self) -> list[int]:
        """Every sequence in the log, ascending."""
        names = self._bucket.names_below(keys.alias(self.model, self.alias))
        found = (keys.alias_sequence(name) for name in names)
        return sorted(sequence for sequence in found if sequence is not None)

    def current(self, *, since: int | None = None) -> AliasRecord | None:
        """The newest record. Lists once, unless `since` names a record known to exist.

        A listing may be stale; walking on from it to the first gap is not.
        """
        start = since if since is not None else (self.sequences() or [1])[-1]
        newest = self.at(start)
        while newest is not None and (following := self.at(newest.sequence + 1)) is not None:
            newest = following
        return newest

    def history(self) -> list[AliasRecord]:
        """Every record, oldest first, those included that a stale listing leaves out."""
        newest = self.current()
        if newest is None:
            return []
        records = (self.at(sequence) for sequence in range(1, newest.sequence))
        return [*(record for record in records if record is not None), newest]

    def append(
        self,
        version: str,
        *,
        over: str | None,
        by: str,
        reason: str,
        action: Action = "promoted",
        terms: Terms | None = None,
        beside: int = 0,
        after: int | None = None,
        proved: bool = False,
    ) -> AliasRecord:
        """Point the alias at `version`, provided it still points at `over`; None for nothing.

        `after`: the sequence of the newest record that was judged, 0 for an empty log, where it
        matters that an alias moved away and back meanwhile.

        Raises:
            PromotionConflict: it points elsewhere, or somebody wrote the same sequence first.
        """
        where = f"{self.model}@{self.alias}"
        current = self.current()
        found = current.target if current else None
        if found != over:
            raise PromotionConflict(where, expected=over, found=found)
        last = current.sequence if current else 0
        if after is not None and last != after:
            raise PromotionConflict(
                where,
                expected=f"{over or 'no version'} of record {after}",
                found=f"{found or 'none'} of record {last}",
            )
        sequence = last + 1
        record = AliasRecord(
            model=self.model,
            alias=self.alias,
            sequence=sequence,
            version=version,
            previous=found,
            action=action,
            by=by,
            reason=reason,
            at=datetime.now(UTC),
            terms=terms,
            beside=beside,
            proved=proved,
        )
        try:
            self._bucket.create(
                keys.alias_record(self.model, self.alias, sequence),
                record.model_dump_json(indent=2).encode(),
            )
        except AlreadyExists:
            winner = self.at(sequence)
            raise PromotionConflict(
                where, expected=over, found=winner.target if winner else None
            ) from None
        return record

    def acknowledge(self, sequence: int, acknowledgement: Acknowledgement) -> None:
        """Say once what became of a record here; what was said first stands."""
        key = keys.replica(self.model, self.alias, sequence, acknowledgement.replica)
        try:
            self._bucket.create(key, acknowledgement.model_dump_json(indent=2).encode())
        except AlreadyExists:
            return

    def acknowledgements(self, sequence: int) -> list[Acknowledgement]:
        """What every replica said so far about a record."""
        found = self._bucket.keys_below(keys.replicas(self.model, self.alias, sequence))
        return [Acknowledgement.model_validate_json(self._bucket.read(key)) for key in found]
