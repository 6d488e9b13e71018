"""Versions: bundles of files that become visible when their manifest is written, last.

The manifest is signed. Read it with `ModelRegistry.trusted` before loading a version: its files are
then verified against digests from a trusted source.
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
    """Parse the manifest of this model and version.

    Raises:
        CorruptVersion: it is damaged, or belongs to another model or version.
    """
    key = keys.manifest(model, version)
    manifest = decode(body, where=key)
    if (manifest.model, manifest.version) != (model, version):
        raise CorruptVersion(
            key, expected=f"{model} {version}", found=f"{manifest.model} {manifest.version}"
        )
    # File names become keys and local paths: `../` in one must not escape the version's folder.
    for name in manifest.files:
        if not _FILE.fullmatch(name) or name in RESERVED:
            raise CorruptVersion(key, expected="plain file names", found=repr(name))
    return manifest


@dataclass(frozen=True)
class Trusted:
    """A manifest, its exact bytes, and the trusted signature over them."""

    manifest: Manifest
    body: bytes
    signature: Signature
    signer: PublicKey


def verify(manifest: Manifest, name: str, body: bytes) -> None:
    """Verify the bytes of a file, from any source, against the manifest.

    Raises:
        CorruptVersion: names the file and both digests.
    """
    expected = manifest.files[name]
    actual = FileEntry(size_bytes=len(body), sha256=digest(body))
    if actual != expected:
        raise CorruptVersion(
            f"{manifest.model} {manifest.version} {name}",
            expected=f"sha256 {expected.sha256} ({expected.size_bytes} bytes)",
            found=f"sha256 {actual.sha256} ({actual.size_bytes} bytes)",
        )
