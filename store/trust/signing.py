"""Signatures over manifests: Ed25519 (RFC 8032) in DSSE envelopes, for which other tools exist.

An envelope (Dead Simple Signing Envelope 1.0) contains the exact bytes of the signed manifest.
`cryptography` is imported with the first signature, as its import is slow.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from overnight.store.errors import ConfigurationError, CorruptVersion
from overnight.store.objects.digests import digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.overnight.manifest+json"
RECORD_TYPE = "application/vnd.overnight.record+json"
KEY_BYTES, SIGNATURE_BYTES = 32, 64


def key_id(public_key: bytes) -> str:
    """The id of a public key (32 bytes): the first 16 hexadecimal digits of its sha256."""
    return digest(public_key)[:16]


def encoding(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding, by default of a manifest.

    It includes the type of the payload, so a signature over something else cannot be reused.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True)
class Signature:
    """The signature of one key over one manifest."""

    key_id: str
    payload: bytes
    signature: bytes

    def encoded(self) -> bytes:
        """The envelope in its stored form."""
        signed = {"keyid": self.key_id, "sig": base64.b64encode(self.signature).decode()}
        envelope = {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [signed],
        }
        return json.dumps(envelope, indent=2).encode()


def decode(body: bytes, *, where: str) -> Signature:
    """Parse an envelope, without verifying the signature.

    Raises:
        CorruptVersion: it is not an envelope of a manifest with one signature.
    """
    try:
        envelope: Any = json.loads(body)
        # Several signatures in one envelope are legal in DSSE, but never written here.
        (signed,) = envelope["signatures"]
        signature = Signature(
            key_id=str(signed["keyid"]),
            payload=base64.b64decode(envelope["payload"], validate=True),
            signature=base64.b64decode(signed["sig"], validate=True),
        )
        kind = envelope["payloadType"]
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        raise CorruptVersion(where, expected="a DSSE envelope", found="something else") from None
    if kind != PAYLOAD_TYPE or len(signature.signature) != SIGNATURE_BYTES:
        raise CorruptVersion(
            where,
            expected=f"{SIGNATURE_BYTES} bytes of signature over {PAYLOAD_TYPE}",
            found=f"{len(signature.signature)} bytes over {kind!r:.100}",
        )
    return signature


class Signer:
    """Signs manifests and records with a private key."""

    def __init__(self, private_key: "Ed25519PrivateKey") -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public_key)

    @classmethod
    def from_file(
        cls,
        path: Path,
        *,
        setting: str = "OVERNIGHT_SIGNING_KEY_FILE",
        remedy: str = "`overnight keys new` makes one",
    ) -> Self:
        """The signer whose private key is in a PEM file (PKCS #8, unencrypted).

        `setting` names the file in errors, and `remedy` says how to make one.

        Raises:
            ConfigurationError: there is none, or it is of another kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError:
            raise ConfigurationError(
                f"{setting}: there is no key to sign with at {path}; {remedy}"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{setting}: {path} cannot be read ({error.strerror})"
            ) from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError(
                f"{setting}: expected an unencrypted Ed25519 private key in PEM "
                f"at {path}, found something else; {remedy}"
            )
        return cls(key)

    @classmethod
    def new(cls) -> Self:
        """A signer with a new key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    def sign(self, body: bytes) -> Signature:
        """Sign a manifest's exact bytes; Ed25519 is deterministic."""
        return Signature(self.key_id, body, self._private_key.sign(encoding(body)))

    def sign_record(self, payload: bytes) -> bytes:
        """Sign the canonical bytes of a record: see `overnight.store.trust.record_signatures`."""
        return self._private_key.sign(encoding(payload, RECORD_TYPE))

    def pem(self) -> bytes:
        """The private key as PEM, unencrypted: restrict who can read it."""
        from cryptography.hazmat.primitives import serialization as forms

        return self._private_key.private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
        )
