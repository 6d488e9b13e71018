"""Reads records that are signed: the signature is in the record, or beside it.

A signature beside a record is of one that was stored without, by an earlier release, or whose key
was replaced since.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from overnight.store.errors import CorruptRecord, NotFound, TooLarge, UntrustedRecord
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import decoded
from overnight.store.objects.size_limits import RECORD_BYTES
from overnight.store.trust import record_signatures
from overnight.store.trust.record_signatures import RecordSignature, SignedRecord
from overnight.store.trust.trusted_keys import PublicKey, Right, Trust

Record = TypeVar("Record", bound=SignedRecord)
# Reads the signature by a key, given its id, that is stored beside a record.
Detached = Callable[[str], RecordSignature | None]


def parsed(form: type[Record], body: bytes, key: str) -> Record:
    """Parse a record from the fields that a signature covers.

    Raises:
        CorruptRecord: the body is not a record of this form.
    """
    try:
        body = record_signatures.canonical(body)
    except (ValueError, RecursionError):
        raise CorruptRecord(key, expected=f"a valid {form.__name__}", found="no JSON") from None
    return decoded(form, body, key)


def detached(bucket: Bucket, key_of: Callable[[str], str]) -> Detached:
    """Read signatures beside a record from the store; `key_of` names that of a signing key."""

    def read(key_id: str) -> RecordSignature | None:
        try:
            return record_signatures.decode(bucket.read(key_of(key_id), RECORD_BYTES))
        except (NotFound, TooLarge):
            return None

    return read


def verified(
    record: Record,
    body: bytes,
    key: str,
    *,
    trust: Trust,
    rights: frozenset[Right],
    detached: Detached,
) -> tuple[Record, PublicKey]:
    """The record with the signature that counts, and the trusted key that made it.

    Raises:
        UntrustedRecord: no trusted key that has one of the rights signed it.
        ConfigurationError: no key is trusted here.
    """
    try:
        return record, trust.record_signer(key, body, record.signed, rights)
    except UntrustedRecord:
        for known in trust.may_sign(rights):
            signature = detached(known.key_id)
            # That of the record itself is the better message, if none counts.
            with suppress(UntrustedRecord):
                if signature is not None:
                    signer = trust.record_signer(key, body, signature, rights)
                    return record.model_copy(update={record_signatures.FIELD: signature}), signer
        raise
