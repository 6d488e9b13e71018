"""Decisions: each version is approved or rejected once; of two writers exactly one decides."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from overnight.store.errors import AlreadyDecided, AlreadyExists, NotFound, UntrustedRecord
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import body_of, read
from overnight.store.registry import approval, signed_records
from overnight.store.registry.actor import Actor
from overnight.store.registry.approval import Approval, StoredDecision
from overnight.store.registry.decision import Decision, Verdict
from overnight.store.registry.manifest import Manifest
from overnight.store.trust import record_signatures
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import Trust


@dataclass(frozen=True)
class Decisions:
    """The decisions about the versions of one model; `manifest` reads that of a version.

    Without `trust` no signature is verified; without `signer` decisions are not signed.
    """

    bucket: Bucket
    model: str
    manifest: Callable[[str], Manifest]
    trust: Trust | None = None
    signer: Callable[[], Signer] | None = None

    def find(self, version: str) -> Decision | None:
        """The decision about a version, for display: its signature is not verified.

        Raises:
            CorruptRecord: it cannot be read.
        """
        return read(Decision, self.bucket, keys.decision(self.model, version))

    def stored(self, version: str) -> StoredDecision | None:
        """The decision about a version as it is stored, for verification; None without one."""
        try:
            body = body_of(Decision, self.bucket, keys.decision(self.model, version))
        except NotFound:
            return None
        key_of = partial(keys.decision_signature, self.model, version)
        return StoredDecision(body, signed_records.detached(self.bucket, key_of))

    def approval(self, manifest: Manifest, *, is_needed: bool = True) -> Approval | None:
        """The signed decision that lets a version serve: see `approval.check`."""
        stored = self.stored(manifest.version)
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
            first = self.find(version)
            if first is None or first.verdict != verdict:
                earlier = (first.verdict, first.by) if first else ("decided", "somebody")
                raise AlreadyDecided(self.model, version, *earlier) from None
            if self.trust is not None and self.signer is not None and verdict == "approved":
                try:
                    self.approval(manifest)
                except UntrustedRecord:
                    self.sign(version, self.signer())
            return first
        return decision

    def sign(self, version: str, signer: Signer) -> None:
        """Store a signature beside a decision; signing again changes nothing."""
        stored, key = self.stored(version), keys.decision(self.model, version)
        if stored is not None:
            detached = keys.decision_signature(self.model, version, signer.key_id)
            signature = record_signatures.sign(key, stored.body, signer)
            self.bucket.create(detached, signature.encoded())
