"""Endorsement: signs decisions and alias records that were stored without a signature that counts.

Those of earlier releases have none, and those whose key is replaced need one by its successor.
What a record says does not change: its signature is stored beside it.
"""

from collections.abc import Iterator

from overnight.store.errors import (
    ConfigurationError,
    CorruptRecord,
    OvernightError,
    StoreDenied,
    StoreUnavailable,
    UntrustedRecord,
)
from overnight.store.objects import keys
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.signing import Signer

NOT_SIGNED = "not signed: "


def endorse(registry: ModelRegistry, signer: Signer, *, confirmed: bool) -> Iterator[str]:
    """Sign the decisions and the alias records of a model; yields what was signed, or why not.

    Those that a trusted key signed before get a signature of this one as well. Those that nobody
    signed are signed only if a person `confirmed` that they are genuine, or where an earlier
    release wrote everything: decisions about versions that a trusted key signed, and the newest
    record of a log without any signed one.

    Raises:
        StoreUnavailable, StoreDenied
    """
    for version in registry.versions():
        yield from _guarded(_endorse_decision(registry, version, signer, confirmed=confirmed))
    for log in (registry.champion, registry.challenger):
        yield from _guarded(_endorse_log(registry, log, signer, confirmed=confirmed))


def _guarded(signing: Iterator[str]) -> Iterator[str]:
    """What is signed, until something cannot be: one damaged record stops no other."""
    try:
        yield from signing
    except (StoreUnavailable, StoreDenied, ConfigurationError):
        raise
    except OvernightError as error:
        yield f"{NOT_SIGNED}{error}"


def _endorse_decision(
    registry: ModelRegistry, version: str, signer: Signer, *, confirmed: bool
) -> Iterator[str]:
    decision = registry.decisions.find(version)
    # A rejection counts without a signature, too.
    if decision is None or decision.verdict == "rejected":
        return
    manifest = registry.trusted(version).manifest
    try:
        approval = registry.decisions.approval(manifest)
    except UntrustedRecord:
        if not confirmed:
            raise
        approval = None
    if approval is None or approval.signature.key_id != signer.key_id:
        registry.decisions.sign(version, signer)
        yield f"{registry.model} {version}: its approval by {decision.by}"


def _endorse_log(
    registry: ModelRegistry, log: AliasLog, signer: Signer, *, confirmed: bool
) -> Iterator[str]:
    history = log.history()
    for record in history:
        is_signed_by_other = record.signed is not None and record.signed.key_id != signer.key_id
        is_old_head = record.signed is None and record is history[-1]
        if is_old_head:
            if not confirmed:
                key = keys.alias_record(registry.model, log.alias, record.sequence)
                yield f"{NOT_SIGNED}{key}, by which {record.by} chose {record.version}"
                return
            if log.alias == CHAMPION:
                # An unsigned record may point at any version: it has to be an approved one.
                registry.decisions.approval(registry.trusted(record.version).manifest)
        if is_signed_by_other or is_old_head:
            log.sign(record.sequence, signer)
            _endorse_withdrawal(registry, record, signer)
            yield f"{log.name}: record {record.sequence}, which names {record.version}"


def _endorse_withdrawal(registry: ModelRegistry, record: AliasRecord, signer: Signer) -> None:
    try:
        Challenges.of(registry).sign_withdrawal(record, signer)
    except CorruptRecord:
        # It ended nothing before either.
        return
