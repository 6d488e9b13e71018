"""Trusted public keys, and the verification of signatures against them.

A file has one `name ed25519:<base64 of 32 bytes>` a line, with `#` for comments. While one key
replaces another, list both. The file is read again when it changes.
"""

import base64
import binascii
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from overnight.store.errors import ConfigurationError, UntrustedVersion
from overnight.store.local_files import ReloadingFile, numbered_fields
from overnight.store.objects.digests import digest
from overnight.store.trust.signing import KEY_BYTES, Signature, encoding, key_id

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_KIND = "ed25519:"


@dataclass(frozen=True)
class PublicKey:
    """A trusted public key and its name."""

    name: str
    raw: bytes

    @property
    def key_id(self) -> str:
        return key_id(self.raw)

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"

    @property
    def line(self) -> str:
        """The line for it in a file of trusted keys."""
        return f"{self.name} {_KIND}{base64.b64encode(self.raw).decode()}"


class Trust:
    """The public keys that are trusted now."""

    def __init__(self, keys: Sequence[PublicKey] = (), *, file: Path | None = None) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._file = None if file is None else ReloadingFile(file, partial(_by_id, file))
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The keys in a file, read again when it changes; a missing file has none.

        The file is read lazily: while it is invalid, no key is trusted.
        """
        return cls(file=path)

    @property
    def keys(self) -> Mapping[str, PublicKey]:
        """Every trusted key by its id.

        Raises:
            ConfigurationError: the file is invalid, or has no keys.
        """
        if self._file is not None:
            # `ReloadingFile` is not thread-safe, and threads of serving verify concurrently.
            with self._lock:
                self._reload(self._file)
        if not self._keys:
            where = self._file.path if self._file else "no file"
            raise ConfigurationError(
                f"OVERNIGHT_TRUSTED_KEYS_FILE: no key is trusted here ({where}), so no version "
                "is; `overnight keys list` shows the key where versions are trained, and "
                "`overnight keys trust NAME KEY` adds it here"
            )
        return self._keys

    def verify(
        self, body: bytes, signatures: Sequence[Signature], *, version: str = "the version"
    ) -> PublicKey:
        """The trusted key that signed exactly these bytes; `version` is for messages.

        Raises:
            UntrustedVersion: none did; names the actual and the trusted keys, and what to do.
            ConfigurationError: no key is trusted here.
        """
        for signature in signatures:
            if (key := self.signer(body, signature)) is not None:
                return key
        raise self.distrusted(version, body, [signature.key_id for signature in signatures])

    def signer(self, body: bytes, signature: Signature) -> PublicKey | None:
        """The trusted key that made this signature over exactly these bytes, if any."""
        key = self.keys.get(signature.key_id)
        if key is None or signature.payload != body or not _is_valid(key, signature, body):
            return None
        return key

    def distrusted(self, version: str, body: bytes, key_ids: Sequence[str]) -> UntrustedVersion:
        """The error for a version whose signatures, by the keys `key_ids`, do not verify."""
        trusted = self.keys
        where = f" (OVERNIGHT_TRUSTED_KEYS_FILE: {self._file.path})" if self._file else ""
        expected = f"by {' or '.join(map(str, trusted.values()))}{where}"
        if not key_ids:
            why = "it is not signed"
            remedy = f"if it is yours, `overnight keys sign {version}` signs it"
        elif known := [str(trusted[key_id]) for key_id in key_ids if key_id in trusted]:
            why = (
                f"the signature of {', '.join(known)} does not match its current manifest, "
                f"sha256 {digest(body)}"
            )
            remedy = "one of them was changed: find out by whom, and publish the version anew"
        else:
            why = f"it is signed by {', '.join(key_ids)}, which is not trusted here or was revoked"
            remedy = (
                "if that key is yours, run `overnight keys trust NAME KEY`; if it was replaced, "
                f"`overnight keys sign {version}` with the new one; else find out who published it"
            )
        return UntrustedVersion(version, why, expected=expected, remedy=remedy)

    def _reload(self, file: ReloadingFile[dict[str, PublicKey]]) -> None:
        try:
            self._keys = file.read()
        except FileNotFoundError:
            self._keys = {}
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise ConfigurationError(
                f"OVERNIGHT_TRUSTED_KEYS_FILE: {file.path} cannot be read ({why}); "
                "until it can, no version is trusted"
            ) from None


def _by_id(file: Path, body: bytes) -> dict[str, PublicKey]:
    return {key.key_id: key for key in parse(body.decode(), file)}


def parse(text: str, where: Path | str) -> list[PublicKey]:
    """Parse the keys in the text of a file.

    Raises:
        ConfigurationError: names the line that is invalid or a duplicate.
    """
    keys: dict[str, PublicKey] = {}
    for number, fields in numbered_fields(text):
        line = f"OVERNIGHT_TRUSTED_KEYS_FILE: line {number} of {where}"
        if len(fields) != 2:
            raise ConfigurationError(f"{line}: expected `name ed25519:<base64>`")
        key = public_key(fields[0], fields[1], where=line)
        if key.name in {other.name for other in keys.values()} or key.key_id in keys:
            raise ConfigurationError(f"{line}: {key} repeats the name or the key of a line above")
        keys[key.key_id] = key
    return list(keys.values())


def public_key(name: str, key: str, *, where: str = "the key") -> PublicKey:
    """Parse a key of the form `ed25519:<base64>`.

    Raises:
        ConfigurationError: the name or the key is invalid.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{where}: a name has 1 to 64 letters, digits and . _ @ -, found {name!r:.80}"
        )
    try:
        raw = base64.b64decode(key.removeprefix(_KIND), validate=True)
    except (ValueError, binascii.Error):
        # Falls through to the one message for all malformed keys.
        raw = b""
    if not key.startswith(_KIND) or len(raw) != KEY_BYTES:
        raise ConfigurationError(
            f"{where}: expected `{_KIND}` and the base64 of {KEY_BYTES} bytes, found {key!r:.80}; "
            "`overnight keys list` shows it where the key was made"
        )
    return PublicKey(name, raw)


def _is_valid(key: PublicKey, signature: Signature, body: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(key.raw)
        public.verify(signature.signature, encoding(body))
    except (InvalidSignature, ValueError):
        return False
    return True
