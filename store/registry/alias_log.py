"""Alias log: append-only records of which version a name points at, since when, by whom and why.

Exactly one writer wins each sequence number, so promotion is a compare-and-swap: read record n,
create record n+1, or fail with the winner's record. A rollback is one more record, and so is
stopping a challenger, after which the alias points at nothing.

A record counts if it is well formed and a trusted key signed it. Any other object in a log is
skipped, and stops nobody from appending. Records of releases that signed none are history, up to
the first signed one.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from overnight.store.errors import (
    AlreadyExists,
    BadKey,
    CorruptRecord,
    NotFound,
    PromotionConflict,
    UntrustedRecord,
)
from overnight.store.objects import keys, sequence_log
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import body_of, existing
from overnight.store.registry import alias_rules, signed_records
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import Action, AliasRecord
from overnight.store.registry.alias_rules import CHAMPION
from overnight.store.registry.challenge_terms import Terms
from overnight.store.trust import record_signatures
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import PublicKey, Trust

logger = logging.getLogger(__name__)

# How many records beyond a gap are tried: anybody who may write there can add any number.
_TRIED_BEYOND_GAP = 16


@dataclass(frozen=True)
class Entry:
    """What is stored under one number of a log: a record, or why it does not count.

    `signer` is the trusted key that signed the record. An `unsigned` record may be history.
    """

    sequence: int
    record: AliasRecord | None = None
    signer: PublicKey | None = None
    problem: CorruptRecord | UntrustedRecord | None = None

    @property
    def is_unsigned(self) -> bool:
        return self.record is not None and self.signer is None and self.record.signed is None


class AliasLog:
    """The log of one alias of one model."""

    def __init__(
        self,
        bucket: Bucket,
        model: str,
        alias: str = CHAMPION,
        *,
        trust: Trust | None = None,
        signer: Callable[[], Signer] | None = None,
        is_known: Callable[[str], bool] | None = None,
    ) -> None:
        """Without `trust` no signature is verified; without `signer` records are not signed.

        A newest record whose version is not `is_known` does not count.
        """
        self._bucket = bucket
        self.model, self.alias = model, alias
        self._trust, self._signer, self._is_known = trust, signer, is_known

    @property
    def name(self) -> str:
        """The alias in reports: the model's own name stands for its champion."""
        return self.model if self.alias == CHAMPION else f"{self.model}@{self.alias}"

    @property
    def _whole_name(self) -> str:
        return f"{self.model}@{self.alias}"

    def at(self, sequence: int) -> AliasRecord | None:
        """Record `sequence`, or None while nobody has written it; its signature is not verified.

        Raises:
            CorruptRecord: the object is no record, or belongs to another log or sequence.
        """
        body = self._read(sequence)
        return None if body is None else self._parsed(sequence, body)

    def entry(self, sequence: int) -> Entry | None:
        """What is stored under a number, verified; None when nothing is: one small GET.

        A second one only if the record itself has no signature that counts.
        """
        try:
            body = self._read(sequence)
            if body is None:
                return None
            record = self._parsed(sequence, body)
        except CorruptRecord as problem:
            return Entry(sequence, problem=problem)
        if self._trust is None:
            return Entry(sequence, record)
        try:
            return self._verified(sequence, record, body, self._trust)
        except UntrustedRecord as problem:
            return Entry(sequence, record, problem=problem)

    def entries(self, *, after: int = 0) -> Iterator[Entry]:
        """What is stored under each number after one, up to the first gap."""
        while (entry := self.entry(after + 1)) is not None:
            yield entry
            after = entry.sequence

    def after(self, sequence: int) -> Iterator[AliasRecord]:
        """Every record that counts after one that does, up to the first gap."""
        for entry in self.entries(after=sequence):
            if entry.record is not None and entry.problem is None:
                yield entry.record

    def sequences(self) -> list[int]:
        """Every number of the log, ascending: from 1 to the first gap.

        A record after a gap counts if a trusted key signed it: then those in the gap were lost.
        """
        prefix = keys.alias(self.model, self.alias)
        last = sequence_log.last(self._bucket, prefix, self._exists)
        numbers = list(range(1, last + 1))
        if self._trust is None:
            return numbers
        beyond = [at for at in sequence_log.named(self._bucket, prefix) if at > last]
        for sequence in reversed(beyond[-_TRIED_BEYOND_GAP:]):
            entry = self.entry(sequence)
            if entry is not None and entry.signer is not None:
                numbers += [at for at in beyond if at <= sequence]
                return [*numbers, *(entry.sequence for entry in self.entries(after=sequence))]
        return numbers

    def current(self) -> AliasRecord | None:
        """The newest record that counts."""
        history = self._counted(self.sequences(), newest_only=True)
        return history[-1] if history else None

    def history(self, *, newest: int = 0) -> list[AliasRecord]:
        """Every record that counts, oldest first, including those that a stale listing omits.

        `newest`: only those among so many of the last numbers; 0 for all.
        """
        return self._counted(self.sequences()[-newest:], newest_only=False)

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
            ConfigurationError: there is no key to sign records with.
        """
        while True:
            numbers = self.sequences()
            self._check_expected(numbers, expected, after)
            record = AliasRecord(
                model=self.model,
                alias=self.alias,
                sequence=(numbers[-1] if numbers else 0) + 1,
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
            if (written := self._write(record)) is not None:
                return written

    def _check_expected(self, numbers: list[int], expected: str | None, after: int | None) -> None:
        """Check that the newest record that counts is the one that the caller expects."""
        counted = self._counted(numbers, newest_only=True)
        target, last = (counted[-1].target, counted[-1].sequence) if counted else (None, 0)
        if target != expected:
            raise PromotionConflict(self._whole_name, expected=expected, found=target)
        if after is not None and last != after:
            raise PromotionConflict(
                self._whole_name,
                expected=f"{expected or 'no version'} of record {after}",
                found=f"{target or 'none'} of record {last}",
            )

    def _write(self, record: AliasRecord) -> AliasRecord | None:
        """Create the record, signed; None if its number is taken by one that does not count."""
        key = keys.alias_record(self.model, self.alias, record.sequence)
        if self._signer is not None:
            record = record.signed_by(self._signer(), key)
        alias_rules.check(record, key)
        try:
            # The compare-and-swap: of all writers that read record n, one creates record n+1.
            self._bucket.create(key, record.encoded())
        except AlreadyExists:
            winner = self.entry(record.sequence)
            if winner is None or winner.record is None or winner.problem is not None:
                return None
            raise PromotionConflict(
                self._whole_name, expected=record.previous, found=winner.record.target
            ) from None
        return record

    def sign(self, sequence: int, signer: Signer) -> None:
        """Store a signature beside a record; signing again changes nothing.

        Raises:
            CorruptRecord: there is no record under this number.
        """
        key = keys.alias_record(self.model, self.alias, sequence)
        body = self._read(sequence)
        if body is None:
            raise CorruptRecord(key, expected="a record", found="nothing")
        self._parsed(sequence, body)
        detached = keys.alias_record_signature(self.model, self.alias, sequence, signer.key_id)
        self._bucket.create(detached, record_signatures.sign(key, body, signer).encoded())

    def _read(self, sequence: int) -> bytes | None:
        key = keys.alias_record(self.model, self.alias, sequence)
        try:
            return body_of(AliasRecord, self._bucket, key)
        except NotFound:
            return None

    def _exists(self, sequence: int) -> bool:
        try:
            return self._read(sequence) is not None
        except CorruptRecord:
            return True

    def _parsed(self, sequence: int, body: bytes) -> AliasRecord:
        key = keys.alias_record(self.model, self.alias, sequence)
        record = signed_records.parsed(AliasRecord, body, key)
        alias_rules.check(record, key)
        return record

    def _verified(self, sequence: int, record: AliasRecord, body: bytes, trust: Trust) -> Entry:
        model, alias = self.model, self.alias
        record, signer = signed_records.verified(
            record,
            body,
            keys.alias_record(model, alias, sequence),
            trust=trust,
            rights=alias_rules.rights(alias),
            detached=signed_records.detached(
                self._bucket, lambda by: keys.alias_record_signature(model, alias, sequence, by)
            ),
        )
        return Entry(sequence, record, signer)

    def _counted(self, numbers: list[int], *, newest_only: bool) -> list[AliasRecord]:
        """The records that count among those under some numbers, oldest first."""
        counted: list[AliasRecord] = []
        # Unsigned ones, which count only if none below them is signed.
        unsigned: list[AliasRecord] = []
        for sequence in reversed(numbers):
            entry = self.entry(sequence)
            if entry is None or entry.record is None:
                self._note_skipped(entry, is_head=not counted)
            elif entry.problem is None and self._may_be_head(entry.record, has_newer=bool(counted)):
                unsigned.clear()
                counted.append(entry.record)
                if newest_only:
                    break
            elif entry.is_unsigned and self._may_be_head(
                entry.record, has_newer=bool(counted or unsigned)
            ):
                unsigned.append(entry.record)
            else:
                self._note_skipped(entry, is_head=not counted)
        return [*reversed(unsigned), *reversed(counted)]

    def _may_be_head(self, record: AliasRecord, *, has_newer: bool) -> bool:
        if has_newer or self._is_known is None or self._is_known(record.version):
            return True
        logger.warning(
            "%s: record %d names %s, which is missing or damaged; the record before it counts",
            *(self._whole_name, record.sequence, record.version),
        )
        return False

    def _note_skipped(self, entry: Entry | None, *, is_head: bool) -> None:
        if is_head and entry is not None and entry.problem is not None:
            logger.warning("%s: record %d: %s", self._whole_name, entry.sequence, entry.problem)

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
