"""Model registry: published versions, the decisions about them, and the champion.

Every write creates a new key, so that of two concurrent writers exactly one succeeds and the other
gets an error.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from overnight.store.errors import (
    AlreadyDecided,
    AlreadyExists,
    BadKey,
    CollectedVersion,
    ConfigurationError,
    CorruptVersion,
    NotFound,
    PromotionConflict,
    TooLarge,
    UnknownVersion,
    UntrustedRecord,
)
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.records import body_of, read
from overnight.store.objects.size_limits import MANIFEST_BYTES, SIGNATURE_BYTES
from overnight.store.registry import approval, signed_records
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER, CHAMPION
from overnight.store.registry.approval import Approval, StoredDecision
from overnight.store.registry.decisions import Decision, Verdict
from overnight.store.registry.manifest import Finding, Manifest
from overnight.store.registry.refusals import Refusal
from overnight.store.registry.tombstones import Tombstone, TombstoneRevoked
from overnight.store.registry.versions import (
    COLLECTED,
    RESERVED,
    Trusted,
    decode_for,
    entries,
    verify,
)
from overnight.store.trust import record_signatures, signing
from overnight.store.trust.signing import Signature, Signer
from overnight.store.trust.trusted_keys import Trust


@dataclass(frozen=True)
class Registry:
    """All models of a bucket, and the keys whose signatures are trusted."""

    bucket: Bucket
    trust: Trust | None = None
    signer: Callable[[], Signer] | None = None

    def model(self, name: str) -> "ModelRegistry":
        return ModelRegistry(self.bucket, name, self.trust, self.signer)

    def models(self) -> tuple[str, ...]:
        """Names of the models of which anything is stored."""
        return tuple(filter(keys.is_model, self.bucket.names_below("models")))


@dataclass(frozen=True)
class ModelRegistry:
    """The versions of one model, the decisions about them, and its champion.

    Without `trust` no signature is verified, and no version may be loaded; without `signer`, the
    decisions and alias records that are written here are not signed.
    """

    bucket: Bucket
    model: str
    trust: Trust | None = None
    signer: Callable[[], Signer] | None = None

    @property
    def champion(self) -> AliasLog:
        """The log of the version that serves; its newest record names a version that exists."""
        return AliasLog(
            self.bucket, self.model, trust=self.trust, signer=self.signer, is_known=self._is_known
        )

    @property
    def challenger(self) -> AliasLog:
        """The log of the challengers."""
        return AliasLog(self.bucket, self.model, CHALLENGER, trust=self.trust, signer=self.signer)

    def _is_known(self, version: str) -> bool:
        try:
            self.manifest(version)
        except (UnknownVersion, CorruptVersion):
            return False
        return True

    def champion_version(self) -> str | None:
        """The version that serves now, if any does.

        It exists, and a trusted key signed the record that names it: other records are skipped.
        """
        record = self.champion.current()
        return record.version if record else None

    def publish(self, manifest: Manifest, files: Mapping[str, bytes], signer: Signer) -> None:
        """Write the bundle, then the signature, then the manifest.

        If interrupted, nothing is visible yet. Publishing the same version again is no error.

        Raises:
            CorruptVersion: the files differ from those that the manifest lists.
            AlreadyExists: the version exists with other contents.
            CollectedVersion: it was half-written for so long that retention deleted it.
        """
        if entries(files) != manifest.files or RESERVED & files.keys():
            raise CorruptVersion(
                f"{manifest.model} {manifest.version}",
                expected=f"the files {sorted(manifest.files)} as listed",
                found=f"{sorted(files)} with other names or contents",
            )
        body = manifest.encoded()
        # Before anything is written: a longer one would be published and never read.
        if len(body) > MANIFEST_BYTES:
            raise CorruptVersion(
                f"{manifest.model} {manifest.version}",
                expected=f"a manifest of at most {MANIFEST_BYTES:,} bytes",
                found=f"{len(body):,}",
            )
        self.check_not_collected(manifest.version)
        for name, content in files.items():
            self.bucket.create(keys.version_file(self.model, manifest.version, name), content)
        self.sign(manifest.version, body, signer)
        self.bucket.create(keys.manifest(self.model, manifest.version), body)
        # Retention may have deleted the half-written version meanwhile. Checked after the last
        # write: either this check sees the tombstone, or retention sees the manifest.
        self.check_not_collected(manifest.version)

    def sign(self, version: str, body: bytes, signer: Signer) -> None:
        """Store a signature over a manifest's exact bytes; signing again changes nothing."""
        envelope = signer.sign(body).encoded()
        try:
            self.bucket.create(keys.signature(self.model, version, signer.key_id), envelope)
        except AlreadyExists:
            # Left by a run that died here, and perhaps over another manifest: nothing is
            # overwritten, so this signature goes under its second name.
            key = keys.signature(self.model, version, signer.key_id, digest(body))
            self.bucket.create(key, envelope)

    def versions(self) -> list[str]:
        """Names of the complete versions, oldest first; half-written ones are left out."""
        prefix = keys.versions(self.model)
        return [
            name
            for name in self.bucket.names_below(prefix)
            if keys.is_version(name)
            and "manifest.json" in self.bucket.names_below(f"{prefix}/{name}")
        ]

    def readable_manifests(self, versions: Iterable[str]) -> dict[str, Manifest]:
        """The manifests of these versions, for display only, without those that cannot be read.

        One that is damaged, foreign or lost must not hide the others; `overnight verify` names it.
        """
        manifests = {}
        for version in versions:
            with suppress(BadKey, CorruptVersion, UnknownVersion):
                manifests[version] = self.manifest(version)
        return manifests

    def find_by_fingerprint(self, fingerprint: str) -> str | None:
        """The newest complete version with exactly this fingerprint; damaged ones are left out."""
        # By name first, which has a part of the fingerprint: few manifests have to be read.
        for name in reversed(self.bucket.names_below(keys.versions(self.model))):
            if keys.is_version(name) and keys.matches_fingerprint(name, fingerprint):
                manifest = self.readable_manifests([name]).get(name)
                if manifest is not None and manifest.fingerprint == fingerprint:
                    return name
        return None

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version, for display only: use `trusted` before loading one.

        Raises:
            UnknownVersion: there is none, so the version does not exist.
            CorruptVersion: it is damaged, or belongs to another model or version.
        """
        return decode_for(self.model, version, self.manifest_bytes(version))

    def manifest_bytes(self, version: str) -> bytes:
        """The exact bytes of a manifest.

        Raises:
            UnknownVersion: there is none, so the version does not exist.
            CorruptVersion: it is longer than any manifest.
        """
        key = keys.manifest(self.model, version)
        try:
            return self.bucket.read(key, MANIFEST_BYTES)
        except NotFound:
            raise UnknownVersion(self.model, version) from None
        except TooLarge as error:
            raise CorruptVersion(key, expected=error.expected, found=error.found) from None

    def trusted(self, version: str) -> Trusted:
        """The manifest of a version, verified against a trusted signature.

        Raises:
            UnknownVersion: there is none, so the version does not exist.
            UntrustedVersion: no trusted key signed these exact bytes.
            CorruptVersion: it is damaged, or belongs to another model or version.
            ConfigurationError: no key is trusted here.
        """
        body, trust = self.manifest_bytes(version), self.trust or Trust()
        for key_id in trust.keys:
            # A signature has one of two names: see `sign`.
            for of in ("", digest(body)):
                signature = self._signature(keys.signature(self.model, version, key_id, of))
                signer = trust.signer(body, signature) if signature else None
                if signature and signer:
                    return Trusted(decode_for(self.model, version, body), body, signature, signer)
        raise trust.distrusted(f"{self.model} {version}", body, self.signers(version))

    def signers(self, version: str) -> list[str]:
        """The ids of the keys that a version's signatures name; nothing is verified."""
        names = self.bucket.names_below(keys.signatures(self.model, version))
        return sorted({key_id for name in names if (key_id := keys.signed_by(name))})

    def _signature(self, key: str) -> Signature | None:
        """A signature, or None when it is missing or unreadable: another one may be valid."""
        try:
            return signing.decode(self.bucket.read(key, SIGNATURE_BYTES), where=key)
        except (NotFound, TooLarge, CorruptVersion):
            return None

    def read_file(self, manifest: Manifest, name: str) -> bytes:
        """One file of a version, verified against its manifest.

        Raises:
            CorruptVersion: it is not listed, missing, or differs from what was published.
            CollectedVersion: retention deleted it.
        """
        where = f"{manifest.model} {manifest.version} {name}"
        if name not in manifest.files:
            raise CorruptVersion(where, expected=f"one of {sorted(manifest.files)}", found=name)
        try:
            key = keys.version_file(self.model, manifest.version, name)
            body = self.bucket.read(key, manifest.files[name].size_bytes)
        except NotFound:
            self.check_not_collected(manifest.version)
            raise CorruptVersion(where, expected="the published file", found="nothing") from None
        except TooLarge as error:
            raise CorruptVersion(where, expected=error.expected, found=error.found) from None
        verify(manifest, name, body)
        return body

    def check_nothing_added(self, manifest: Manifest) -> None:
        """Check that a version's folder holds no file that its manifest does not list.

        Raises:
            CorruptVersion: names the added files.
            CollectedVersion: retention deleted the version's files.
        """
        prefix = f"{keys.versions(self.model)}/{manifest.version}"
        names = [key.removeprefix(f"{prefix}/") for key in self.bucket.keys_below(prefix)]
        # A collected version lacks files for a good reason, which is the better message.
        if COLLECTED in names:
            self.check_not_collected(manifest.version)
        known = manifest.files.keys() | RESERVED
        added = [name for name in names if name not in known and not name.startswith("signatures/")]
        if added:
            raise CorruptVersion(
                f"{manifest.model} {manifest.version}",
                expected=f"the files {sorted(manifest.files)} and no others",
                found=f"{added} added since it was published",
            )

    def tombstone(self, version: str) -> Tombstone | None:
        """The tombstone of a version, or None when there is none or it was revoked."""
        tombstone = read(Tombstone, self.bucket, keys.tombstone(self.model, version))
        return tombstone if tombstone and self.tombstone_revoked(version) is None else None

    def tombstone_revoked(self, version: str) -> TombstoneRevoked | None:
        """The record that revokes a version's tombstone, if there is one."""
        return read(TombstoneRevoked, self.bucket, keys.tombstone_revoked(self.model, version))

    def revoke_tombstone(self, version: str, reason: str) -> None:
        """Revoke a version's tombstone; the reason that was written first stands."""
        record = TombstoneRevoked(model=self.model, version=version, reason=reason)
        with suppress(AlreadyExists):
            self.bucket.create(keys.tombstone_revoked(self.model, version), record.encoded())

    def check_not_collected(self, version: str) -> None:
        """Check that retention has not deleted a version's files.

        Raises:
            CollectedVersion: it has; says when, by whom, and what to do instead.
        """
        tombstone = self.tombstone(version)
        if tombstone is not None:
            raise CollectedVersion(
                self.model,
                version,
                at=f"{tombstone.at:%Y-%m-%d}",
                by=tombstone.by,
                remedy=f"name a version that is kept (`overnight versions {self.model}`)"
                if tombstone.was == "published"
                else f"`overnight retrain {self.model} --force` makes another",
            )

    def decision(self, version: str) -> Decision | None:
        """The decision about a version, for display: its signature is not verified.

        Raises:
            CorruptRecord: it cannot be read.
        """
        return read(Decision, self.bucket, keys.decision(self.model, version))

    def stored_decision(self, version: str) -> StoredDecision | None:
        """The decision about a version as it is stored, for verification; None without one."""
        try:
            body = body_of(Decision, self.bucket, keys.decision(self.model, version))
        except NotFound:
            return None
        key_of = partial(keys.decision_signature, self.model, version)
        return StoredDecision(body, signed_records.detached(self.bucket, key_of))

    def approval(self, manifest: Manifest, *, is_needed: bool = True) -> Approval | None:
        """The signed decision that lets a version serve: see `approval.check`."""
        stored = self.stored_decision(manifest.version)
        return approval.check(manifest, stored, self.trust or Trust(), is_needed=is_needed)

    def decide(self, version: str, verdict: Verdict, actor: Actor) -> Decision:
        """Approve or reject a version for good; deciding the same again is no error.

        An equal decision that is stored without a signature that counts gets one beside it.

        Raises:
            UnknownVersion: there is no such version.
            AlreadyDecided: the opposite was decided first.
            ConfigurationError: there is no key to sign decisions with.
        """
        manifest, key = self.manifest(version), keys.decision(self.model, version)
        decision = Decision(
            model=self.model,
            version=version,
            verdict=verdict,
            by=actor.name,
            reason=actor.reason,
            authenticated=actor.authenticated,
        )
        if self.signer is not None:
            decision = decision.signed_by(self.signer(), key)
        try:
            self.bucket.create(key, decision.encoded())
        except AlreadyExists:
            first = self.decision(version)
            if first is None or first.verdict != verdict:
                earlier = (first.verdict, first.by) if first else ("decided", "somebody")
                raise AlreadyDecided(self.model, version, *earlier) from None
            if self.trust is not None and self.signer is not None and verdict == "approved":
                try:
                    self.approval(manifest)
                except UntrustedRecord:
                    self.sign_decision(version, self.signer())
            return first
        return decision

    def sign_decision(self, version: str, signer: Signer) -> None:
        """Store a signature beside a decision; signing again changes nothing."""
        stored, key = self.stored_decision(version), keys.decision(self.model, version)
        if stored is not None:
            detached = keys.decision_signature(self.model, version, signer.key_id)
            signature = record_signatures.sign(key, stored.body, signer)
            self.bucket.create(detached, signature.encoded())

    def promote(self, version: str, *, expected: str | None, actor: Actor) -> AliasRecord:
        """Point the champion at an approved version, provided it still points at `expected`.

        Promoting the champion again is no error, so that an interrupted run can be repeated.

        Raises:
            PromotionConflict: another version became champion meanwhile.
            UnknownVersion, CorruptVersion, ConfigurationError: it cannot serve.
            CollectedVersion: retention deleted its files.
        """
        current = self.champion.current()
        if current is not None and current.version == version:
            # The run that wrote the record may have died before its last check.
            return self._checked_after_write(current)
        self._check_servable(version)
        record = self.champion.append(version, expected=expected, actor=actor)
        return self._checked_after_write(record)

    def roll_back(self, *, expected: str | None, to: str | None, actor: Actor) -> AliasRecord:
        """Append a record that moves the champion from `expected` to `to`, or to its predecessor.

        Repeating the same rollback returns the record of the first one.

        Raises:
            ConfigurationError: nothing served before, or `to` is the champion already.
            CollectedVersion: retention deleted the files of that version.
            PromotionConflict: another version became champion meanwhile, also by a rollback to
                another version than `to`.
            UnknownVersion: `to` does not exist.
        """
        log = self.champion
        current = log.current()
        if current is None or expected is None:
            raise ConfigurationError(
                f"{self.model} has no champion yet, so there is nothing to roll back"
            )
        # Without this, a rollback that is retried after a lost response would go back twice.
        is_done = (current.action, current.previous) == ("rolled back", expected)
        if is_done and current.version != expected and to in {None, current.version}:
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
        return self._checked_after_write(record)

    def _check_servable(self, version: str) -> None:
        manifest = self.manifest(version)
        self.check_not_collected(version)
        decision = self.decision(version)
        if decision is None or decision.verdict != "approved":
            raise ConfigurationError(
                f"{self.model} {version} is not approved; "
                f"`overnight approve {self.model} {version}` first"
            )
        if self.trust is not None:
            self.approval(manifest)

    def _checked_after_write(self, record: AliasRecord) -> AliasRecord:
        """Return the record, or undo it by another one if retention deleted its version meanwhile.

        Retention writes its tombstone and then checks the aliases; a promotion writes the alias and
        then checks for a tombstone. So at least one of the two notices the other.
        """
        try:
            self.check_not_collected(record.version)
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
        """Record that a candidate was refused; compared with another champion it may pass."""
        refusal = Refusal(
            model=self.model,
            fingerprint=fingerprint,
            findings=tuple(findings),
            compared_with=compared_with,
        )
        # The same inputs compared with the same champion: the first findings are as good.
        with suppress(AlreadyExists):
            key = keys.refusal(self.model, fingerprint, compared_with)
            self.bucket.create(key, refusal.encoded())

    def refusal(self, fingerprint: str, *, compared_with: str | None) -> Refusal | None:
        """The refusal of this fingerprint when compared with this champion, if there is one."""
        return read(Refusal, self.bucket, keys.refusal(self.model, fingerprint, compared_with))
