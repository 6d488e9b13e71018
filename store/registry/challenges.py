"""Challenges of a champion: which version may challenge it, one at a time, and what ends it.

A challenge is a record in the log of the alias `challenger`. It ends by one more record, by the
withdrawal that a serving host writes, or because its version became champion.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from pydantic import Field

from overnight.store.errors import (
    AlreadyExists,
    ChallengeRunning,
    CollectedVersion,
    ConfigurationError,
    NoChallenge,
    NotFound,
    PromotionConflict,
)
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import body_of
from overnight.store.registry import signed_records
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Mode, Terms
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import Schema, TensorSpec
from overnight.store.schema_translation import labels_of, translation, why_incomparable
from overnight.store.trust import record_signatures
from overnight.store.trust.record_signatures import SignedRecord
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import Right, Trust

WITHDRAWERS: frozenset[Right] = frozenset({"withdrawals", "aliases"})


class Withdrawal(SignedRecord):
    """A serving host's report that a challenger exceeded its bounds; final, as it is create-only.

    It is not an alias record, so that serving needs no permission to move aliases.
    """

    replica: str
    version: str
    reason: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Challenge:
    """The newest challenge of a model, unless it was stopped."""

    record: AliasRecord
    withdrawal: Withdrawal | None = None
    became_champion: bool = False

    @property
    def is_live(self) -> bool:
        return self.withdrawal is None and not self.became_champion


@dataclass(frozen=True)
class Challenges:
    """The challenges of one model's champion, one at a time."""

    bucket: Bucket
    model: str
    trust: Trust | None = None
    signer: Callable[[], Signer] | None = None

    @classmethod
    def of(cls, registry: ModelRegistry) -> Self:
        """The challenges of a registry's model, verified and signed as its records are."""
        return cls(registry.bucket, registry.model, registry.trust, registry.signer)

    @property
    def log(self) -> AliasLog:
        """The log of the model's challengers."""
        return self._registry.challenger

    @property
    def _registry(self) -> ModelRegistry:
        return ModelRegistry(self.bucket, self.model, self.trust, self.signer)

    def current(self) -> Challenge | None:
        """The newest challenge and how it ended; None when there was none, or it was stopped."""
        return self._challenge_of(self.log.current())

    def _challenge_of(self, record: AliasRecord | None) -> Challenge | None:
        if record is None or record.target is None:
            return None
        return Challenge(record, self.withdrawal(record), self.became_champion(record))

    def start(self, version: str, *, terms: Terms, actor: Actor) -> AliasRecord:
        """Let a version challenge the champion.

        A canary must be approved; a shadow only must not be rejected. Starting the running
        challenge again on the same terms is no error, so that an interrupted run can be repeated.

        Raises:
            ChallengeRunning: another challenge runs.
            ConfigurationError: it may not challenge, or there is no compatible champion.
            PromotionConflict: another challenge was started or stopped meanwhile.
            UnknownVersion, CorruptVersion: it cannot serve.
            CollectedVersion: retention deleted its files.
        """
        last = self.log.current()
        running = self._challenge_of(last)
        if running is not None and running.is_live:
            record = running.record
            if (record.version, record.terms) == (version, terms):
                return self._checked_after_write(record)
            since = f"{record.at:%Y-%m-%d %H:%M} UTC"
            raise ChallengeRunning(self.model, version=record.version, by=record.by, since=since)
        champion = self._registry.champion.current()
        if champion is None:
            raise ConfigurationError(
                f"{self.model} has no champion yet, so there is nothing to challenge"
            )
        self._check_may_challenge(champion, version, terms)
        record = self.log.append(
            version,
            expected=running.record.version if running else None,
            actor=actor,
            action="started",
            terms=terms,
            champion_sequence=champion.sequence,
            # Without it a challenge that was started and stopped meanwhile would go unnoticed.
            after=last.sequence if last else 0,
        )
        return self._checked_after_write(record)

    def stop(self, actor: Actor, *, expected: str | None = None) -> AliasRecord:
        """Stop the challenge, after which the alias points at nothing.

        `expected`: stop only this version; None for any.

        Raises:
            NoChallenge: no challenge runs; says how the last one ended.
            PromotionConflict: another version than `expected` challenges, or a challenge was
                started or stopped meanwhile.
        """
        running = self.current()
        if running is None:
            raise NoChallenge(self.model, "none was started, or the last was stopped")
        version = running.record.version
        if running.is_live and expected not in {None, version}:
            where = f"{self.model}@{CHALLENGER}"
            raise PromotionConflict(where, expected=expected, found=version)
        if running.withdrawal is not None:
            raise NoChallenge(self.model, f"{version} was withdrawn: {running.withdrawal.reason}")
        if running.became_champion:
            raise NoChallenge(self.model, f"{version} became champion")
        after = running.record.sequence
        return self.log.append(
            version, expected=version, actor=actor, action="stopped", after=after
        )

    def withdraw(self, record: AliasRecord, withdrawal: Withdrawal) -> Withdrawal:
        """Withdraw a challenge on all hosts; the withdrawal that was written first stands.

        Raises:
            UntrustedRecord: the first one does not count.
        """
        key = keys.withdrawal(record.model, record.alias, record.sequence)
        if self.signer is not None:
            withdrawal = withdrawal.signed_by(self.signer(), key)
        try:
            self.bucket.create(key, withdrawal.encoded())
        except AlreadyExists:
            return self.withdrawal(record) or withdrawal
        return withdrawal

    def withdrawal(self, record: AliasRecord) -> Withdrawal | None:
        """The withdrawal of a challenge, or None while there is none: one small GET.

        That of a challenge which an earlier release started is not signed.

        Raises:
            UntrustedRecord: no trusted key that may do so signed it, so the challenge continues.
        """
        key = keys.withdrawal(record.model, record.alias, record.sequence)
        try:
            body = body_of(Withdrawal, self.bucket, key)
        except NotFound:
            return None
        withdrawal = signed_records.parsed(Withdrawal, body, key)
        if self.trust is None or record.signed is None:
            return withdrawal
        return signed_records.verified(
            withdrawal,
            body,
            key,
            trust=self.trust,
            rights=WITHDRAWERS,
            detached=signed_records.detached(
                self.bucket,
                lambda by: keys.withdrawal_signature(
                    record.model, record.alias, record.sequence, by
                ),
            ),
        )[0]

    def sign_withdrawal(self, record: AliasRecord, signer: Signer) -> None:
        """Store a signature beside the withdrawal of a challenge, if there is one."""
        key = keys.withdrawal(record.model, record.alias, record.sequence)
        try:
            body = body_of(Withdrawal, self.bucket, key)
        except NotFound:
            return
        signed_records.parsed(Withdrawal, body, key)
        detached = keys.withdrawal_signature(
            record.model, record.alias, record.sequence, signer.key_id
        )
        self.bucket.create(detached, record_signatures.sign(key, body, signer).encoded())

    def became_champion(self, record: AliasRecord, *, since: int = 0) -> bool:
        """Whether the version of a challenge was champion at any time since the challenge began.

        `since`: the last record of the champion's log known to name another version.
        """
        sequence = max(record.champion_sequence, since)
        # Single reads, because serving asks this all the time and mostly gets one "not found".
        later = self._registry.champion.after(sequence)
        return any(champion.version == record.version for champion in later)

    def _checked_after_write(self, record: AliasRecord) -> AliasRecord:
        """Return the record, or stop the challenge if retention deleted its version meanwhile."""
        try:
            self._registry.tombstones.check_not_collected(record.version)
        except CollectedVersion as error:
            actor = Actor(record.by, str(error))
            self.log.append(record.version, expected=record.version, actor=actor, action="stopped")
            raise
        return record

    def _check_may_challenge(self, champion: AliasRecord, version: str, terms: Terms) -> None:
        model, registry = self.model, self._registry
        if version == champion.version:
            raise ConfigurationError(f"{version} is the champion of {model}; name another version")
        manifest = registry.manifest(version)
        registry.tombstones.check_not_collected(version)
        decision = registry.decisions.find(version)
        verdict = decision.verdict if decision else None
        if verdict == "rejected":
            raise ConfigurationError(f"{model} {version} was rejected and never answers anything")
        # A canary answers clients; the answers of a shadow are discarded.
        if terms.mode == "canary" and verdict != "approved":
            raise ConfigurationError(
                f"{model} {version} is not approved, so it may not answer clients; "
                "let it challenge in shadow, or approve it: "
                f"`overnight challenge {model} {version} --canary --approve`"
            )
        if self.trust is not None:
            registry.decisions.approval(manifest, is_needed=terms.mode == "canary")
        own = registry.manifest(champion.version).tensors
        if why := difference(own, manifest.tensors, mode=terms.mode):
            raise ConfigurationError(
                f"{model} {version} cannot challenge {champion.version}: {why}; promote it instead"
            )


def difference(champion: Schema, challenger: Schema, *, mode: Mode) -> str:
    """Why a challenger could not be compared with the champion or stand in for it; else empty.

    The champion's first output must be there, and the classes must be the same. A shadow is sent
    requests by its own schema: inputs that it does not take are left out, those that it alone takes
    get their defaults, and categories and classes are matched by name. A canary answers clients,
    which know the champion's inputs, outputs and numbers, so all of these must be there, and it may
    only add categories after those.
    """
    if mode == "canary" and (why := _other_forms(champion, challenger)):
        return why
    if why := why_incomparable(champion, challenger):
        return why
    for name, places in translation(champion, challenger).classes.items():
        labels = _labels(challenger, name)
        if (places < 0).any() or len(places) != len(labels):
            return f"the classes of {name!r} are {labels}, expected those of the champion"
    return _renumbered(champion, challenger) if mode == "canary" else ""


def _labels(schema: Schema, name: str) -> tuple[str, ...]:
    return next(labels_of(schema, spec) for spec in schema.outputs if spec.name == name)


def _other_forms(champion: Schema, challenger: Schema) -> str:
    """Which inputs and outputs clients would have to know anew; empty if none."""
    expected, actual = _forms(champion.inputs), _forms(challenger.inputs)
    if expected != actual:
        return f"its inputs are {actual}, expected {expected}"
    expected, actual = _forms(champion.outputs), _forms(challenger.outputs)
    if champion.outputs[0].name != challenger.outputs[0].name or expected.items() - actual.items():
        return f"its outputs are {actual}, expected {expected}"
    return ""


def _renumbered(champion: Schema, challenger: Schema) -> str:
    """What a number means otherwise in the challenger than in the champion; empty if nothing."""
    if champion.labels != challenger.labels:
        return f"its classes are {challenger.labels}, expected {champion.labels}"
    specs = {spec.name: spec for spec in (*challenger.inputs, *challenger.outputs)}
    for spec in (*champion.inputs, *champion.outputs):
        vocabulary = specs[spec.name].vocabulary
        if vocabulary[: len(spec.vocabulary)] != spec.vocabulary:
            return (
                f"it numbers the categories of {spec.name!r} otherwise, and clients may send or "
                "read numbers; let it challenge in shadow"
            )
    return ""


def _forms(specs: tuple[TensorSpec, ...]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {spec.name: (spec.datatype, spec.shape) for spec in specs}
