"""The part of an audit about signatures: of alias records, decisions and withdrawals."""

from collections.abc import Iterable, Iterator

from overnight.store.errors import CorruptRecord, OvernightError, RejectedVersion, UntrustedRecord
from overnight.store.maintenance.audit_rules import INVESTIGATE, Observation, error, note, warning
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.alias_log import AliasLog, Entry
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import Trust

_SIGN = "if it is yours, `overnight keys sign {model} {version}` signs it"


def audit_log(
    log: AliasLog, listed: Iterable[int], *, trusted: bool
) -> tuple[frozenset[int], list[Observation]]:
    """The numbers of the records that count in a log, and what is wrong with the others."""
    history, numbers = log.history(), frozenset(log.sequences())
    counted = frozenset(record.sequence for record in history)
    head = history[-1] if history else None
    observations: list[Observation] = []
    if trusted and head is not None and head.signed is None:
        key = keys.alias_record(log.model, log.alias, head.sequence)
        what = "no record of this log is signed, so no host follows it"
        remedy = f"if it is yours, `overnight keys sign {log.model} --yes` signs it"
        observations.append(error(key, what, remedy))
    for sequence in sorted(set(listed) - counted):
        entry = log.entry(sequence)
        if entry is not None:
            observations.append(_uncounted(log, entry, head, is_in_log=sequence in numbers))
    return counted, observations


def _uncounted(
    log: AliasLog, entry: Entry, head: AliasRecord | None, *, is_in_log: bool
) -> Observation:
    key = keys.alias_record(log.model, log.alias, entry.sequence)
    why = f"it does not count: {entry.problem}"
    if not is_in_log:
        return warning(key, "it lies beyond the end of this log, so nothing reads it", INVESTIGATE)
    if head is not None and entry.sequence < head.sequence:
        return note(key, why)
    return error(
        key,
        why,
        f"{INVESTIGATE}; or `overnight verify --repair` names the champion once more after it"
        if log.alias == CHAMPION and head is not None
        else INVESTIGATE,
    )


def audit_decision(
    bucket: Bucket, manifest: Manifest, verdict: str | None, trust: Trust
) -> Iterator[Observation]:
    """Check that a trusted key that may do so signed the approval of a version."""
    registry = ModelRegistry(bucket, manifest.model, trust)
    if verdict != "approved":
        return
    try:
        registry.decisions.approval(manifest)
    except UntrustedRecord as reason:
        key = keys.decision(manifest.model, manifest.version)
        yield error(key, str(reason), _SIGN.format(model=manifest.model, version=manifest.version))
    except (CorruptRecord, RejectedVersion):
        # Reported by its own key already, or decided anew since it was read.
        return


def audit_withdrawals(
    bucket: Bucket, records: Iterable[AliasRecord], trust: Trust
) -> Iterator[Observation]:
    """Check that a trusted key that may do so signed each withdrawal of a challenger."""
    for record in records:
        try:
            Challenges(bucket, record.model, trust).withdrawal(record)
        except UntrustedRecord as reason:
            key = keys.withdrawal(record.model, record.alias, record.sequence)
            yield warning(key, f"it withdraws nothing: {reason}", INVESTIGATE)
        except OvernightError:
            # Reported by its own key already.
            continue
