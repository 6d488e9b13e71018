"""Approval: whether the decision about a version, and who signed it, let it serve.

Pure rules over the decision, as it was read, and the version's signed manifest.
"""

from dataclasses import dataclass
from typing import Literal

from overnight.store.errors import RejectedVersion, UntrustedRecord
from overnight.store.objects import keys
from overnight.store.registry import alias_rules, signed_records
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.decision import Decision
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.signed_records import Detached
from overnight.store.trust.record_signatures import RecordSignature
from overnight.store.trust.trusted_keys import Right, Trust

_PEOPLE: frozenset[Right] = frozenset({"decisions"})
_GATES: frozenset[Right] = frozenset({"decisions", "gates"})


@dataclass(frozen=True)
class StoredDecision:
    """A decision as it is stored: its bytes, and how to read a signature beside it."""

    body: bytes
    detached: Detached


@dataclass(frozen=True)
class Approval:
    """The decision that lets a version serve: its bytes, and the signature that counts."""

    body: bytes
    signature: RecordSignature


def rights(approval: Literal["automatic", "manual"]) -> frozenset[Right]:
    """Any of these suffices to sign the decision about a version trained for such approval."""
    return _PEOPLE if approval == "manual" else _GATES


def needs_approval(record: AliasRecord) -> bool:
    """Whether the version of a record answers clients; the answers of a shadow are discarded."""
    is_shadow = record.terms is not None and record.terms.mode == "shadow"
    return record.alias == alias_rules.CHAMPION or not is_shadow


def check(
    manifest: Manifest, stored: StoredDecision | None, trust: Trust, *, is_needed: bool
) -> Approval | None:
    """Check that the decision about a version lets it serve; there may be none unless `is_needed`.

    Raises:
        CorruptRecord: it cannot be read.
        RejectedVersion: the version was rejected, signed or not.
        UntrustedRecord: no trusted key that may decide about this version signed it.
        ConfigurationError: no key is trusted here.
    """
    model, version, allowed = manifest.model, manifest.version, rights(manifest.approval)
    key = keys.decision(model, version)
    if stored is not None:
        decision = signed_records.parsed(Decision, stored.body, key)
        if decision.verdict == "rejected":
            raise RejectedVersion(model, version, by=decision.by, reason=decision.reason)
        decision, _ = signed_records.verified(
            decision, stored.body, key, trust=trust, rights=allowed, detached=stored.detached
        )
        return Approval(stored.body, decision.signed) if decision.signed else None
    if is_needed:
        raise UntrustedRecord(
            key,
            "nobody has decided about it",
            expected=f"with the right {' or '.join(sorted(allowed))}",
            remedy=f"`overnight approve {model} {version}`",
        )
    return None


def check_promoter(manifest: Manifest, record: AliasRecord, trust: Trust) -> None:
    """Check that the key that signed a champion's record may promote this version.

    The gates' key promotes no version that waits for a person. It may roll back to one, whose
    decision a person has signed: a promotion that a host refuses is undone by the run that made it.

    Raises:
        UntrustedRecord: it may not.
    """
    if (record.alias, record.action) != (alias_rules.CHAMPION, "promoted"):
        return
    signer = trust.keys.get(record.signed.key_id) if record.signed else None
    if manifest.approval == "manual" and (signer is None or "aliases" not in signer.rights):
        raise UntrustedRecord(
            keys.alias_record(record.model, record.alias, record.sequence),
            f"{signer or 'nobody'} signed it, and {record.version} awaits a person's approval",
            expected="with the right aliases",
            remedy=f"`overnight promote {record.model} {record.version}` if you want it to serve",
        )
