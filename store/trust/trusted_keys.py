"""Trusted public keys, and the verification of signatures against them.

A file has one `name ed25519:<base64 of 32 bytes> [rights]` a line, with `#` for comments; the
rights are separated by commas. While one key replaces another, list both. The file is read again
when it changes.
"""

import base64
import binascii
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self, get_args

from overnight.store.errors import ConfigurationError, UntrustedRecord, UntrustedVersion
from overnight.store.local_files import ReloadingFile, numbered_fields
from overnight.store.objects.digests import digest
from overnight.store.trust import record_signatures
from overnight.store.trust.record_signatures import RecordSignature
from overnight.store.trust.signing import KEY_BYTES, RECORD_TYPE, Signature, encoding, key_id

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_KIND = "ed25519:"
# `gates`: decisions about, and promotions of, versions that were trained for automatic approval.
# `decisions` and `aliases` are about all versions, `aliases` of champions and challengers.
Right = Literal["versions", "gates", "decisions", "aliases", "withdrawals"]
RIGHTS: tuple[Right, ...] = get_args(Right)
# Of a line without rights, as earlier releases wrote them: what training signs.
TRAINING: frozenset[Right] = frozenset({"versions", "gates"})


@dataclass(frozen=True)
class PublicKey:
    """A trusted public key, its name, and what it may sign."""

    name: str
    raw: bytes
    rights: frozenset[Right] = TRAINING

    @property
    def key_id(self) -> str:
        return key_id(self.raw)

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"

    @property
    def line(self) -> str:
        """The line for it in a file of trusted keys."""
        rights = "" if self.rights == TRAINING else f" {self.rights_text}"
        return f"{self.name} {self.text}{rights}"

    @property
    def text(self) -> str:
        """The key as it is written in files and commands."""
        return f"{_KIND}{base64.b64encode(self.raw).decode()}"

    @property
    def rights_text(self) -> str:
        return ",".join(right for right in RIGHTS if right in self.rights)


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
        if key is None or "versions" not in key.rights or signature.payload != body:
            return None
        return key if _is_valid(key, signature.signature, encoding(body)) else None

    def record_signer(
        self, key: str, body: bytes, signature: RecordSignature | None, rights: frozenset[Right]
    ) -> PublicKey:
        """The trusted key that signed the record stored under `key`, and has one of the rights.

        Raises:
            UntrustedRecord: none did; says which key signed it, and what to do.
            ConfigurationError: no key is trusted here.
        """
        known = self.keys.get(signature.key_id) if signature else None
        if known is not None and signature is not None and known.rights & rights:
            # What is no JSON object has no signature that fits.
            with suppress(ValueError, RecursionError):
                signed = encoding(record_signatures.payload(key, body), RECORD_TYPE)
                if _is_valid(known, signature.raw, signed):
                    return known
        raise self._distrusted_record(key, signature, known, rights)

    def may_sign(self, rights: frozenset[Right]) -> list[PublicKey]:
        """The trusted keys that have one of the rights."""
        return [key for key in self.keys.values() if key.rights & rights]

    def _distrusted_record(
        self,
        key: str,
        signature: RecordSignature | None,
        known: PublicKey | None,
        rights: frozenset[Right],
    ) -> UntrustedRecord:
        able = " or ".join(map(str, self.may_sign(rights))) or "no key that is trusted here has"
        expected = f"with the right {' or '.join(sorted(rights))} (by {able})"
        model = key.split("/")[1] if key.startswith("models/") else "MODEL"
        remedy = (
            f"if it is yours, `overnight keys sign {model}` signs it; else find out who wrote it"
        )
        if signature is None:
            why = "it is not signed"
        elif known is None:
            why = f"{signature.key_id:.16} signed it, which is not trusted here or was revoked"
            remedy = f"if that key is yours, `overnight keys trust NAME KEY RIGHTS`; {remedy}"
        elif not known.rights & rights:
            why = f"{known} signed it, which may sign {known.rights_text} only"
        else:
            why = f"the signature of {known} does not match it as it is stored"
        return UntrustedRecord(key, why, expected=expected, remedy=remedy)

    def distrusted(self, version: str, body: bytes, key_ids: Sequence[str]) -> UntrustedVersion:
        """The error for a version whose signatures, by the keys `key_ids`, do not verify."""
        trusted = self.keys
        where = f" (OVERNIGHT_TRUSTED_KEYS_FILE: {self._file.path})" if self._file else ""
        able = self.may_sign(frozenset({"versions"}))
        expected = f"by {' or '.join(map(str, able)) or 'a key that may sign versions'}{where}"
        if not key_ids:
            why = "it is not signed"
            remedy = f"if it is yours, `overnight keys sign {version}` signs it"
        elif known := [str(key) for key in able if key.key_id in key_ids]:
            why = (
                f"the signature of {', '.join(known)} does not match its current manifest, "
                f"sha256 {digest(body)}"
            )
            remedy = "one of them was changed: find out by whom, and publish the version anew"
        elif known := [str(trusted[key_id]) for key_id in key_ids if key_id in trusted]:
            why = f"it is signed by {', '.join(known)}, which may not sign versions"
            remedy = f"if it is yours, `overnight keys sign {version}` signs it"
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
        if len(fields) not in {2, 3} or (len(fields) == 3 and not fields[1].startswith(_KIND)):
            raise ConfigurationError(f"{line}: expected `name ed25519:<base64> [rights]`")
        rights = parse_rights(fields[2], where=line) if fields[2:] else TRAINING
        key = public_key(fields[0], fields[1], rights=rights, where=line)
        if key.name in {other.name for other in keys.values()} or key.key_id in keys:
            raise ConfigurationError(f"{line}: {key} repeats the name or the key of a line above")
        keys[key.key_id] = key
    return list(keys.values())


def parse_rights(text: str, *, where: str = "the rights") -> frozenset[Right]:
    """Parse what a key may sign, separated by commas.

    Raises:
        ConfigurationError: names the one that is unknown.
    """
    named = set(filter(None, text.split(",")))
    if not named or (unknown := named.difference(RIGHTS)):
        wrong = ", ".join(sorted(unknown)) if named else "none"
        raise ConfigurationError(f"{where}: a key may sign {', '.join(RIGHTS)}; found {wrong:.80}")
    return frozenset(right for right in RIGHTS if right in named)


def public_key(
    name: str, key: str, *, rights: frozenset[Right] = TRAINING, where: str = "the key"
) -> PublicKey:
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
    return PublicKey(name, raw, rights)


def _is_valid(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(key.raw)
        public.verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
