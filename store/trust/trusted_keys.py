"""Whose versions are trusted: public keys with names, and the one rule that lets a version in.

A file has one `name ed25519:<base64 of 32 bytes>` a line; `#` begins a comment. While one key
replaces another, both are trusted. The file is read again when it changes.
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
    """A key that is trusted, under the name somebody gave it."""

    name: str
    raw: bytes

    @property
    def key_id(self) -> str:
        return key_id(self.raw)

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"

    @property
    def line(self) -> str:
        """As it stands in a file of trusted keys."""
        return f"{self.name} {_KIND}{base64.b64encode(self.raw).decode()}"


class Trust:
    """The public keys that are trusted now, by their ids."""

    def __init__(self, keys: Sequence[PublicKey] = (), *, file: Path | None = None) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._file = None if file is None else ReloadingFile(file, partial(_by_id, file))
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The keys in a file, now and whenever it changes; a file that is not there has none.

        It is read when somebody asks: a file that cannot be understood trusts nobody.
        """
        return cls(file=path)

    @property
    def keys(self) -> Mapping[str, PublicKey]:
        """Every trusted key by its id.

        Raises:
            ConfigurationError: the file cannot be understood, or nobody is trusted at all.
        """
        if self._file is not None:
            with self._lock:
                self._reload(self._file)
        if not self._keys:
            where = self._file.path if self._file else "no file"
            raise ConfigurationError(
                f"OVERNIGHT_TRUSTED_KEYS_FILE: no key is trusted here ({where}), so no version "
                "is; `overnight keys list` tells the key where versions are made, and "
                "`overnight keys trust NAME KEY` has it trusted here"
            )
        return self._keys

    def verify(
        self, body: bytes, signatures: Sequence[Signature], *, version: str = "the version"
    ) -> PublicKey:
        """Who of those trusted signed exactly these bytes of a manifest; `version` is for words.

        Raises:
            UntrustedVersion: nobody did; names the keys found and trusted, and what to do.
            ConfigurationError: nobody is trusted here.
        """
        for signature in signatures:
            if (key := self.signer(body, signature)) is not None:
                return key
        raise self.distrusted(version, body, [one.key_id for one in signatures])

    def signer(self, body: bytes, signature: Signature) -> PublicKey | None:
        """The trusted key that made this signature over exactly these bytes, if one did."""
        key = self.keys.get(signature.key_id)
        fits = key is not None and signature.payload == body and _is_by(key, signature, body)
        return key if fits else None

    def distrusted(self, version: str, body: bytes, found: Sequence[str]) -> UntrustedVersion:
        """Why a version signed in the name of the keys `found` is not trusted, in words."""
        trusted = self.keys
        where = f" (OVERNIGHT_TRUSTED_KEYS_FILE: {self._file.path})" if self._file else ""
        expected = f"by {' or '.join(map(str, trusted.values()))}{where}"
        if not found:
            why = "it is not signed"
            remedy = f"if it is yours, `overnight keys sign {version}` signs it"
        elif known := [str(trusted[one]) for one in found if one in trusted]:
            why = (
                f"the signature of {', '.join(known)} does not fit its manifest as it is now, "
                f"sha256 {digest(body)}"
            )
            remedy = "one of them was changed since: find out by whom, and publish the version anew"
        else:
            why = f"it is signed by {', '.join(found)}, which is not trusted here or was revoked"
            remedy = (
                "if that key is yours, `overnight keys trust NAME KEY`; if it was replaced, "
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
    """The keys in the text of a file.

    Raises:
        ConfigurationError: naming the line that is no key, or names one twice.
    """
    found: dict[str, PublicKey] = {}
    for number, words in numbered_fields(text):
        told = f"OVERNIGHT_TRUSTED_KEYS_FILE: line {number} of {where}"
        if len(words) != 2:
            raise ConfigurationError(f"{told}: expected `name ed25519:<base64>`")
        key = public_key(words[0], words[1], told=told)
        if key.name in {one.name for one in found.values()} or key.key_id in found:
            raise ConfigurationError(f"{told}: {key} has its name or its key from a line above")
        found[key.key_id] = key
    return list(found.values())


def public_key(name: str, key: str, *, told: str = "the key") -> PublicKey:
    """A named key of the form `ed25519:<base64>`.

    Raises:
        ConfigurationError: the name or the key is not in the grammar.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{told}: a name has 1 to 64 letters, digits and . _ @ -, found {name!r:.80}"
        )
    try:
        raw = base64.b64decode(key.removeprefix(_KIND), validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if not key.startswith(_KIND) or len(raw) != KEY_BYTES:
        raise ConfigurationError(
            f"{told}: expected `{_KIND}` and the base64 of {KEY_BYTES} bytes, found {key!r:.80}; "
            "`overnight keys list` shows it where the key was made"
        )
    return PublicKey(name, raw)


def _is_by(key: PublicKey, signature: Signature, body: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(key.raw)
        public.verify(signature.signature, encoding(body))
    except (InvalidSignature, ValueError):
        return False
    return True
