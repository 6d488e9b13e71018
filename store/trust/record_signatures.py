"""Signatures over alias records, decisions and withdrawals.

What is signed is the record's key and its stored fields in a canonical form, so that a signature
fits one record of one model only, and no manifest. It is stored in the record, in its field
`signed`; a record that was written without one can get a signature beside it.
"""

import base64
import binascii
import json
from typing import Any, Self

from pydantic import Field, ValidationError

from overnight.store.trust.signing import Signer
from overnight.store.values import Value

FIELD = "signed"


class RecordSignature(Value):
    """The signature of one key over one record; `signature` is in base64."""

    key_id: str
    signature: str

    @property
    def raw(self) -> bytes:
        """The bytes of the signature; empty when they are no base64."""
        try:
            return base64.b64decode(self.signature, validate=True)
        except (ValueError, binascii.Error):
            return b""


class SignedRecord(Value):
    """A record that carries its signature; one without is stored as earlier releases did."""

    signed: RecordSignature | None = Field(default=None, exclude_if=lambda value: value is None)

    def signed_by(self, signer: Signer, key: str) -> Self:
        """The record with a signature, to be stored under `key`."""
        body = self.model_copy(update={FIELD: None}).encoded()
        return self.model_copy(update={FIELD: sign(key, body, signer)})


def sign(key: str, body: bytes, signer: Signer) -> RecordSignature:
    """Sign a record that is stored under a key."""
    signature = signer.sign_record(payload(key, body))
    return RecordSignature(key_id=signer.key_id, signature=base64.b64encode(signature).decode())


def payload(key: str, body: bytes) -> bytes:
    """The bytes that are signed: key and fields, sorted, without the signature.

    They are made from the stored fields and not from a parsed record, so that a signature over
    fields of a later release is valid for a reader that does not know them.

    Raises:
        ValueError, RecursionError: the body is no JSON object.
    """
    return _canonical({"key": key, "record": _fields(body)})


def canonical(body: bytes) -> bytes:
    """The stored fields in a canonical form, in which each occurs once.

    A record is parsed from it when its signature counts: of a field that occurs twice in the
    stored bytes, two parsers may take different ones.

    Raises:
        ValueError, RecursionError: the body is no JSON object.
    """
    return _canonical(json.loads(body))


def embedded(body: bytes) -> RecordSignature | None:
    """The signature in a stored record, if there is one; nothing is verified."""
    try:
        return decode(json.dumps(json.loads(body)[FIELD]).encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def decode(body: bytes) -> RecordSignature | None:
    """A signature that is stored beside its record; None when it cannot be read."""
    try:
        return RecordSignature.model_validate_json(body)
    except ValidationError:
        return None


def _fields(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("a record is a JSON object")  # noqa: TRY004 - bad content, not a bad type
    return {name: value for name, value in document.items() if name != FIELD}


def _canonical(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
