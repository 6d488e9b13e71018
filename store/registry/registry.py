"""Model registry: publishes versions, reads them, and verifies what it reads.

Every write creates a new key, so that of two concurrent writers exactly one succeeds and the other
gets an error.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from overnight.store.errors import (
    AlreadyExists,
    BadKey,
    CorruptVersion,
    NotFound,
    TooLarge,
    UnknownVersion,
)
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.objects.size_limits import MANIFEST_BYTES, SIGNATURE_BYTES
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.decisions import Decisions
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.refusals import Refusals
from overnight.store.registry.tombstones import Tombstones
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

    @property
    def decisions(self) -> Decisions:
        """The decisions about the versions."""
        return Decisions(self.bucket, self.model, self.manifest, self.trust, self.signer)

    @property
    def refusals(self) -> Refusals:
        """The refusals of candidates that were never published."""
        return Refusals(self.bucket, self.model)

    @property
    def tombstones(self) -> Tombstones:
        """The tombstones of the versions that retention deleted."""
        return Tombstones(self.bucket, self.model)

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
        self.tombstones.check_not_collected(manifest.version)
        for name, content in files.items():
            self.bucket.create(keys.version_file(self.model, manifest.version, name), content)
        self.sign(manifest.version, body, signer)
        self.bucket.create(keys.manifest(self.model, manifest.version), body)
        # Retention may have deleted the half-written version meanwhile. Checked after the last
        # write: either this check sees the tombstone, or retention sees the manifest.
        self.tombstones.check_not_collected(manifest.version)

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
            self.tombstones.check_not_collected(manifest.version)
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
            self.tombstones.check_not_collected(manifest.version)
        known = manifest.files.keys() | RESERVED
        added = [name for name in names if name not in known and not name.startswith("signatures/")]
        if added:
            raise CorruptVersion(
                f"{manifest.model} {manifest.version}",
                expected=f"the files {sorted(manifest.files)} and no others",
                found=f"{added} added since it was published",
            )
