"""The registry: what is published of each model, what was decided about it, and what serves.

Every write creates a key that was free, so that of two writers one wins and the other is told.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from overnight.store.errors import (
    AlreadyDecided,
    AlreadyExists,
    CollectedVersion,
    ConfigurationError,
    CorruptVersion,
    NotFound,
    PromotionConflict,
    UnknownVersion,
)
from overnight.store.objects import keys, sequence_log
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.records import decoded, read
from overnight.store.registry.actor import Actor
from overnight.store.registry.aliases import CHAMPION, AliasLog, AliasRecord
from overnight.store.registry.decisions import Decision, Verdict
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import Finding, Manifest
from overnight.store.registry.refusals import Refusal
from overnight.store.registry.tombstones import Tombstone, TombstoneRevoked
from overnight.store.registry.tuned_settings import TunedSettings
from overnight.store.registry.versions import (
    COLLECTED,
    RESERVED,
    Trusted,
    decode_for,
    entries,
    verify,
)
from overnight.store.trust import signing
from overnight.store.trust.signing import Signature, Signer
from overnight.store.trust.trusted_keys import Trust


@dataclass(frozen=True)
class Registry:
    """The models of a bucket, and whose versions of them may be loaded; by default nobody's."""

    bucket: Bucket
    trust: Trust = field(default_factory=Trust)

    def model(self, name: str) -> "ModelRegistry":
        return ModelRegistry(self.bucket, name, self.trust)

    def models(self) -> tuple[str, ...]:
        """The models of which anything is stored."""
        return tuple(filter(keys.is_model, self.bucket.names_below("models")))


@dataclass(frozen=True)
class ModelRegistry:
    """The versions of one model, what was decided and measured about each, and its champion."""

    bucket: Bucket
    model: str
    trust: Trust = field(default_factory=Trust)

    @property
    def champion(self) -> AliasLog:
        """The log of the version that serves."""
        return AliasLog(self.bucket, self.model)

    def champion_version(self) -> str | None:
        """The version that serves now, if any does."""
        record = self.champion.current()
        return record.version if record else None

    def publish(self, manifest: Manifest, files: Mapping[str, bytes], signer: Signer) -> None:
        """Write the bundle, the signature, then the manifest. Killed in between, nothing is
        visible.

        Publishing the same version again is no error: the same bytes are recognised.

        Raises:
            CorruptVersion: the files are not the ones the manifest lists.
            AlreadyExists: the version exists with other contents.
            CollectedVersion: it lay half-written for so long that it was collected.
        """
        if entries(files) != manifest.files or RESERVED & files.keys():
            raise CorruptVersion(
                f"{manifest.model} {manifest.version}",
                expected=f"the files {sorted(manifest.files)} as listed",
                found=f"{sorted(files)} with other names or contents",
            )
        self.check_kept(manifest.version)
        for name, body in files.items():
            self.bucket.create(keys.version_file(self.model, manifest.version, name), body)
        body = manifest.encoded()
        self.sign(manifest.version, body, signer)
        self.bucket.create(keys.manifest(self.model, manifest.version), body)
        # What lay half-written for long may have been collected meanwhile; the tombstone wins.
        self.check_kept(manifest.version)

    def sign(self, version: str, body: bytes, signer: Signer) -> None:
        """Put a signature over a manifest's exact bytes beside them; signed again, it is there
        once.
        """
        envelope = signer.sign(body).encoded()
        try:
            self.bucket.create(keys.signature(self.model, version, signer.key_id), envelope)
        except AlreadyExists:
            # A run that died here may have been about to publish another manifest.
            key = keys.signature(self.model, version, signer.key_id, digest(body))
            self.bucket.create(key, envelope)

    def versions(self) -> list[str]:
        """Names of the complete versions, oldest first; half-written ones are invisible."""
        prefix = keys.versions(self.model)
        return [
            name
            for name in self.bucket.names_below(prefix)
            if keys.is_version(name)
            and "manifest.json" in self.bucket.names_below(f"{prefix}/{name}")
        ]

    def covering(self, fingerprint: str) -> str | None:
        """The newest complete version made from exactly this fingerprint."""
        for name in reversed(self.bucket.names_below(keys.versions(self.model))):
            if keys.is_version(name) and keys.covers(name, fingerprint):
                with suppress(UnknownVersion):
                    if self.manifest(name).fingerprint == fingerprint:
                        return name
        return None

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version, to be shown; whoever loads one asks for `trusted`.

        Raises:
            UnknownVersion: there is none, so the version does not exist.
            CorruptVersion: it is damaged, or that of another model or version.
        """
        return decode_for(self.model, version, self.manifest_bytes(version))

    def manifest_bytes(self, version: str) -> bytes:
        """The exact bytes of a manifest.

        Raises:
            UnknownVersion: there is none, so the version does not exist.
        """
        try:
            return self.bucket.read(keys.manifest(self.model, version))
        except NotFound:
            raise UnknownVersion(self.model, version) from None

    def trusted(self, version: str) -> Trusted:
        """A version's manifest as somebody who is trusted signed it.

        Raises:
            UnknownVersion: there is none, so the version does not exist.
            UntrustedVersion: nobody who is trusted signed it as it is.
            CorruptVersion: it is damaged, or that of another model or version.
            ConfigurationError: nobody is trusted here.
        """
        body = self.manifest_bytes(version)
        for key_id in self.trust.keys:
            for of in ("", digest(body)):
                found = self._signature(keys.signature(self.model, version, key_id, of))
                signer = self.trust.signer(body, found) if found else None
                if found and signer:
                    return Trusted(decode_for(self.model, version, body), body, found, signer)
        raise self.trust.distrusted(f"{self.model} {version}", body, self.signers(version))

    def signers(self, version: str) -> list[str]:
        """The ids of the keys in whose names a version is signed; nothing is verified."""
        names = self.bucket.names_below(keys.signatures(self.model, version))
        return sorted({found for name in names if (found := keys.signed_by(name))})

    def _signature(self, key: str) -> Signature | None:
        """A signature, if there is one that can be read: another may still be good."""
        try:
            return signing.decode(self.bucket.read(key), where=key)
        except (NotFound, CorruptVersion):
            return None

    def read_file(self, manifest: Manifest, name: str) -> bytes:
        """One file of a version, verified against its manifest.

        Raises:
            CorruptVersion: not listed, missing, or other bytes than were published.
            CollectedVersion: retention let go of it.
        """
        where = f"{manifest.model} {manifest.version} {name}"
        if name not in manifest.files:
            raise CorruptVersion(where, expected=f"one of {sorted(manifest.files)}", found=name)
        try:
            body = self.bucket.read(keys.version_file(self.model, manifest.version, name))
        except NotFound:
            self.check_kept(manifest.version)
            raise CorruptVersion(where, expected="the published file", found="nothing") from None
        verify(manifest, name, body)
        return body

    def check_nothing_added(self, manifest: Manifest) -> None:
        """Refuse a version in whose folder lies what its manifest does not list.

        Raises:
            CorruptVersion: naming what was added.
            CollectedVersion: retention let go of it.
        """
        prefix = f"{keys.versions(self.model)}/{manifest.version}"
        found = [key.removeprefix(f"{prefix}/") for key in self.bucket.keys_below(prefix)]
        if COLLECTED in found:
            self.check_kept(manifest.version)
        known = manifest.files.keys() | RESERVED
        added = [name for name in found if name not in known and not name.startswith("signatures/")]
        if added:
            raise CorruptVersion(
                f"{manifest.model} {manifest.version}",
                expected=f"the files {sorted(manifest.files)} and no others",
                found=f"{added} added since it was published",
            )

    def collected(self, version: str) -> Tombstone | None:
        """The tombstone of a version, or None while it is kept: one small GET."""
        found = read(Tombstone, self.bucket, keys.collected(self.model, version))
        return found if found and self.kept(version) is None else None

    def kept(self, version: str) -> TombstoneRevoked | None:
        """The record that a version stays although it has a tombstone, if there is one."""
        return read(TombstoneRevoked, self.bucket, keys.kept(self.model, version))

    def keep(self, version: str, reason: str) -> None:
        """Take back that a version was collected; what was written first stands."""
        record = TombstoneRevoked(model=self.model, version=version, reason=reason)
        with suppress(AlreadyExists):
            self.bucket.create(keys.kept(self.model, version), record.encoded())

    def check_kept(self, version: str) -> None:
        """Make sure that a version was not collected.

        Raises:
            CollectedVersion: it was; names when, by whom, and what to do instead.
        """
        found = self.collected(version)
        if found is not None:
            raise CollectedVersion(
                self.model,
                version,
                at=f"{found.at:%Y-%m-%d}",
                by=found.by,
                remedy=f"name a version that is kept (`overnight versions {self.model}`)"
                if found.was == "published"
                else f"`overnight retrain {self.model} --force` makes another",
            )

    def decision(self, version: str) -> Decision | None:
        """The decision about a version, or None while there is none.

        Raises:
            CorruptRecord: it cannot be read, so that nobody knows what was decided.
        """
        return read(Decision, self.bucket, keys.decision(self.model, version))

    def decide(self, version: str, verdict: Verdict, actor: Actor) -> Decision:
        """Approve or reject a version for ever, or find that the same was decided already.

        Raises:
            UnknownVersion: there is nothing to decide about.
            AlreadyDecided: somebody decided otherwise first.
        """
        self.manifest(version)
        decision = Decision(
            model=self.model,
            version=version,
            verdict=verdict,
            by=actor.name,
            reason=actor.reason,
            proved=actor.authenticated,
        )
        try:
            self.bucket.create(keys.decision(self.model, version), decision.encoded())
        except AlreadyExists:
            first = self.decision(version)
            if first is None or first.verdict != verdict:
                earlier = (first.verdict, first.by) if first else ("decided", "somebody")
                raise AlreadyDecided(self.model, version, *earlier) from None
            return first
        return decision

    def promote(self, version: str, *, expected: str | None, actor: Actor) -> AliasRecord:
        """Point the champion at an approved version, provided it still points at `expected`.

        Promoting what is champion already is no error: a killed run is simply run again.

        Raises:
            PromotionConflict: another version became champion meanwhile.
            UnknownVersion, CorruptVersion, ConfigurationError: it cannot serve.
            CollectedVersion: retention let go of its files.
        """
        current = self.champion.current()
        if current is not None and current.version == version:
            # The run that wrote it may have died before it looked once more.
            return self._still_kept(current)
        self._check_servable(version)
        return self._still_kept(self.champion.append(version, expected=expected, actor=actor))

    def roll_back(self, *, expected: str | None, to: str | None, actor: Actor) -> AliasRecord:
        """Point the champion from `expected` to `to`, or to what served before it, by one more
        record.

        Asked again after its record was written, it finds that record instead of going back
        further.

        Raises:
            ConfigurationError: nothing served before, or `to` serves already.
            CollectedVersion: retention let go of the files of that version.
            PromotionConflict: another version became champion meanwhile.
        """
        log = self.champion
        current = log.current()
        if current is None or expected is None:
            raise ConfigurationError(
                f"{self.model} has no champion yet, so there is nothing to roll back"
            )
        done = (current.action, current.previous) == ("rolled back", expected)
        if done and current.version != expected:
            return current
        if current.version != expected:
            where = f"{self.model}@{CHAMPION}"
            raise PromotionConflict(where, expected=expected, found=current.version)
        target = to or log.previous(expected)
        if target == current.version:
            raise ConfigurationError(
                f"{target} is the champion of {self.model} already; name another"
            )
        self._check_servable(target)
        record = log.append(target, expected=expected, actor=actor, action="rolled back")
        return self._still_kept(record)

    def _check_servable(self, version: str) -> None:
        self.manifest(version)
        self.check_kept(version)
        decision = self.decision(version)
        if decision is None or decision.verdict != "approved":
            raise ConfigurationError(
                f"{self.model} {version} is not approved; "
                f"`overnight approve {self.model} {version}` first"
            )

    def _still_kept(self, record: AliasRecord) -> AliasRecord:
        """The record, unless its version was collected at that very moment: then what served
        before serves again, by one more record.
        """
        try:
            self.check_kept(record.version)
        except CollectedVersion as error:
            if record.previous is not None:
                actor = Actor(record.by, str(error))
                self.champion.append(
                    record.previous, expected=record.version, actor=actor, action="rolled back"
                )
            raise
        return record

    def refuse(
        self, fingerprint: str, findings: Sequence[Finding], *, compared_with: str | None
    ) -> None:
        """Keep the first refusal of a fingerprint beside a champion: beside another it may pass."""
        refusal = Refusal(
            model=self.model,
            fingerprint=fingerprint,
            findings=tuple(findings),
            compared_with=compared_with,
        )
        with suppress(AlreadyExists):
            key = keys.refusal(self.model, fingerprint, compared_with)
            self.bucket.create(key, refusal.encoded())

    def refusal(self, fingerprint: str, *, compared_with: str | None) -> Refusal | None:
        """The refusal of exactly this fingerprint beside this champion, if there was one."""
        return read(Refusal, self.bucket, keys.refusal(self.model, fingerprint, compared_with))

    def keep_score(self, score: Score) -> Score:
        """Write a score, or find the one that was written first, which stands."""
        key = keys.score(self.model, score.version, score.arrival)
        try:
            self.bucket.create(key, score.encoded())
        except AlreadyExists:
            return decoded(Score, self.bucket.read(key), key)
        return score

    def score(self, version: str, arrival: str) -> Score | None:
        """What a version measured on an arrival, if it was asked about it."""
        return read(Score, self.bucket, keys.score(self.model, version, arrival))

    def scores(self, version: str) -> list[Score]:
        """All that a version measured while it served, oldest first."""
        below = self.bucket.keys_below(keys.scores(self.model, version))
        found = (decoded(Score, self.bucket.read(key), key) for key in below)
        return sorted(found, key=lambda score: (score.at, score.arrival))

    def tuned(self) -> TunedSettings | None:
        """The settings that hold since the newest tuning, or None when nothing was ever tuned."""
        listed = sequence_log.named(self.bucket, keys.tuned(self.model))
        if listed and self._tuned_at(listed[-1]) is None:
            listed = sequence_log.recorded(self.bucket, keys.tuned(self.model))
        newest, sequence = None, max(listed, default=1)
        # A listing may be stale; walking on from it to the first gap is not.
        while (found := self._tuned_at(sequence)) is not None:
            newest, sequence = found, sequence + 1
        return newest

    def keep_tuned(self, settings: TunedSettings) -> TunedSettings:
        """Write the next record; of two searches that end at once, the later is the newer."""
        while True:
            newest = self.tuned()
            record = settings.model_copy(update={"sequence": newest.sequence + 1 if newest else 1})
            try:
                key = keys.tuned_record(self.model, record.sequence)
                self.bucket.create(key, record.encoded())
            except AlreadyExists:
                other = self._tuned_at(record.sequence)
                if other is not None and other.id == record.id:
                    return other
                continue
            return record

    def _tuned_at(self, sequence: int) -> TunedSettings | None:
        found = read(TunedSettings, self.bucket, keys.tuned_record(self.model, sequence))
        # The number is the key's: what a record says of itself must not lead anybody in circles.
        return found and found.model_copy(update={"sequence": sequence})
