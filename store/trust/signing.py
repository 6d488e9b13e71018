"""Signatures over manifests: Ed25519 (RFC 8032) in DSSE envelopes, so that others can verify them.

An envelope (Dead Simple Signing Envelope 1.0) carries the manifest that was signed, byte for byte.
`cryptography` is imported when something is signed or verified first, and not before.
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
KEY_BYTES, SIGNATURE_BYTES = 32, 64


def key_id(public_key: bytes) -> str:
    """How a public key (32 bytes) is named everywhere: 16 hexadecimal digits of its sha256."""
    return digest(public_key)[:16]


def encoding(payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding of a manifest.

    It says of what type the payload is, so no signature over anything else can pass for one.
    """
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True)
class Signature:
    """What one key said of one manifest."""

    key_id: str
    payload: bytes
    signature: bytes

    def encoded(self) -> bytes:
        """The envelope, as it is stored."""
        signed = {"keyid": self.key_id, "sig": base64.b64encode(self.signature).decode()}
        envelope = {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [signed],
        }
        return json.dumps(envelope, indent=2).encode()


def decode(body: bytes, *, where: str) -> Signature:
    """Read an envelope; nothing is verified yet.

    Raises:
        CorruptVersion: not an envelope of a manifest with one signature.
    """
    try:
        envelope: Any = json.loads(body)
        (signed,) = envelope["signatures"]
        found = Signature(
            key_id=str(signed["keyid"]),
            payload=base64.b64decode(envelope["payload"], validate=True),
            signature=base64.b64decode(signed["sig"], validate=True),
        )
        kind = envelope["payloadType"]
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        raise CorruptVersion(where, expected="a DSSE envelope", found="something else") from None
    if kind != PAYLOAD_TYPE or len(found.signature) != SIGNATURE_BYTES:
        raise CorruptVersion(
            where,
            expected=f"{SIGNATURE_BYTES} bytes of signature over {PAYLOAD_TYPE}",
            found=f"{len(found.signature)} bytes over {kind!r:.100}",
        )
    return found


class Signer:
    """Whoever holds the private key that makes versions of this house."""

    def __init__(self, private_key: "Ed25519PrivateKey") -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public_key)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The signer whose private key is in a PEM file (PKCS #8, unencrypted).

        Raises:
            ConfigurationError: there is none, or not of this kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            found = load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError:
            raise ConfigurationError(
                f"OVERNIGHT_SIGNING_KEY_FILE: no key to sign versions with at {path}; "
                "`overnight keys new` makes one"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"OVERNIGHT_SIGNING_KEY_FILE: {path} cannot be read ({error.strerror})"
            ) from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            found = None
        if not isinstance(found, Ed25519PrivateKey):
            raise ConfigurationError(
                f"OVERNIGHT_SIGNING_KEY_FILE: expected an unencrypted Ed25519 private key in PEM "
                f"at {path}, found something else; `overnight keys new` makes one"
            )
        return cls(found)

    @classmethod
    def new(cls) -> Self:
        """A signer nobody has known before."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    def sign(self, body: bytes) -> Signature:
        """Sign a manifest's exact bytes; the same bytes always get the same signature."""
        return Signature(self.key_id, body, self._private_key.sign(encoding(body)))

    def pem(self) -> bytes:
        """The private key, to be kept where nobody else reads it."""
        from cryptography.hazmat.primitives import serialization as forms

        return self._private_key.private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
        )
