"""Versions: a bundle of files that becomes visible when its manifest is written, last.

The manifest is signed, and whoever loads a version reads it by `ModelRegistry.trusted`: what it
lists can then be held against digests that somebody who is trusted vouches for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from overnight.store.errors import CorruptVersion
from overnight.store.objects import keys
from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import FileEntry, Manifest, decode
from overnight.store.trust.signing import Signature
from overnight.store.trust.trusted_keys import PublicKey

_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
COLLECTED = "collected.json"
RESERVED = {"manifest.json", "decision.json", COLLECTED, "kept.json"}


def entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Size and sha256 of every file of a bundle, as the manifest lists them."""
    return {
        name: FileEntry(size_bytes=len(body), sha256=digest(body))
        for name, body in sorted(files.items())
    }


def decode_for(model: str, version: str, body: bytes) -> Manifest:
    """A manifest, provided it is that of this model and version.

    Raises:
        CorruptVersion: it is damaged, or speaks of another model or version.
    """
    key = keys.manifest(model, version)
    manifest = decode(body, where=key)
    if (manifest.model, manifest.version) != (model, version):
        raise CorruptVersion(
            key, expected=f"{model} {version}", found=f"{manifest.model} {manifest.version}"
        )
    for name in manifest.files:
        if not _FILE.fullmatch(name) or name in RESERVED:
            raise CorruptVersion(key, expected="plain file names", found=repr(name))
    return manifest


@dataclass(frozen=True)
class Trusted:
    """A manifest, its exact bytes, and the trusted key's signature that vouches for them."""

    manifest: Manifest
    body: bytes
    signature: Signature
    signer: PublicKey


def verify(manifest: Manifest, name: str, body: bytes) -> None:
    """Hold bytes, from wherever they came, against the manifest.

    Raises:
        CorruptVersion: naming the file and both digests.
    """
    expected = manifest.files[name]
    found = FileEntry(size_bytes=len(body), sha256=digest(body))
    if found != expected:
        raise CorruptVersion(
            f"{manifest.model} {manifest.version} {name}",
            expected=f"sha256 {expected.sha256} ({expected.size_bytes} bytes)",
            found=f"sha256 {found.sha256} ({found.size_bytes} bytes)",
        )
