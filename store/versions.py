"""Versions: a bundle of files that becomes visible when its manifest is written, last.

The manifest is signed, and whoever loads a version reads it by `trusted`: what the manifest lists
can then be held against digests that somebody who is trusted vouches for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from store import keys, signing
from store.bucket import Bucket
from store.digests import digest
from store.errors import AlreadyExists, CorruptVersion, NotFound, UnknownVersion
from store.manifest import FileEntry, Manifest, decode
from store.registry.registry import ModelRegistry
from store.signing import Signature, Signer
from store.trust import PublicKey, Trust

_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_COLLECTED = "collected.json"
_RESERVED = {"manifest.json", "decision.json", _COLLECTED, "kept.json"}


def entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Size and sha256 of every file of a bundle, as the manifest lists them."""
    return {
        name: FileEntry(size_bytes=len(body), sha256=digest(body))
        for name, body in sorted(files.items())
    }


def publish(bucket: Bucket, manifest: Manifest, files: Mapping[str, bytes], signer: Signer) -> None:
    """Write the bundle, the signature, then the manifest. Killed in between, nothing is visible.

    Publishing the same version again is no error: the same bytes are recognised.

    Raises:
        CorruptVersion: the files are not the ones the manifest lists.
        AlreadyExists: the version exists with other contents.
        CollectedVersion: it lay half-written for so long that it was collected.
    """
    if entries(files) != manifest.files or _RESERVED & files.keys():
        raise CorruptVersion(
            f"{manifest.model} {manifest.version}",
            expected=f"the files {sorted(manifest.files)} as listed",
            found=f"{sorted(files)} with other names or contents",
        )
    ModelRegistry(bucket, manifest.model).check_kept(manifest.version)
    for name, body in files.items():
        bucket.create(keys.version_file(manifest.model, manifest.version, name), body)
    body = manifest.encoded()
    sign(bucket, manifest.model, manifest.version, body, signer)
    bucket.create(keys.manifest(manifest.model, manifest.version), body)
    # What lay half-written for long may have been collected meanwhile; that word wins.
    ModelRegistry(bucket, manifest.model).check_kept(manifest.version)


def sign(bucket: Bucket, model: str, version: str, body: bytes, signer: Signer) -> None:
    """Put a signature over a manifest's exact bytes beside them; signed again, it is there once."""
    envelope = signer.sign(body).encoded()
    try:
        bucket.create(keys.signature(model, version, signer.key_id), envelope)
    except AlreadyExists:
        # A run that died here may have been about to publish another manifest.
        key = keys.signature(model, version, signer.key_id, digest(body))
        bucket.create(key, envelope)


def read_manifest(bucket: Bucket, model: str, version: str) -> Manifest:
    """The manifest of a version, to be shown; whoever loads one asks for `trusted_manifest`.

    Raises:
        UnknownVersion: there is none, so the version does not exist.
        CorruptVersion: it is damaged, or speaks of another model or version.
    """
    return decode_for(model, version, read_body(bucket, model, version))


def read_body(bucket: Bucket, model: str, version: str) -> bytes:
    """The exact bytes of a manifest.

    Raises:
        UnknownVersion: there is none, so the version does not exist.
    """
    try:
        return bucket.read(keys.manifest(model, version))
    except NotFound:
        raise UnknownVersion(model, version) from None


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
        if not _FILE.fullmatch(name) or name in _RESERVED:
            raise CorruptVersion(key, expected="plain file names", found=repr(name))
    return manifest


@dataclass(frozen=True)
class Trusted:
    """A manifest, its exact bytes, and the trusted key's signature that vouches for them."""

    manifest: Manifest
    body: bytes
    signature: Signature
    signer: PublicKey


def trusted(bucket: Bucket, model: str, version: str, trust: Trust) -> Trusted:
    """A version's manifest as somebody who is trusted signed it.

    Raises:
        UnknownVersion: there is none, so the version does not exist.
        UntrustedVersion: nobody who is trusted signed it as it is.
        CorruptVersion: it is damaged, or speaks of another model or version.
    """
    body = read_body(bucket, model, version)
    for key_id in trust.keys:
        for of in ("", digest(body)):
            found = _signature(bucket, keys.signature(model, version, key_id, of))
            signer = trust.signer(body, found) if found else None
            if found and signer:
                return Trusted(decode_for(model, version, body), body, found, signer)
    raise trust.distrusted(f"{model} {version}", body, signers(bucket, model, version))


def trusted_manifest(bucket: Bucket, model: str, version: str, trust: Trust) -> Manifest:
    """The manifest that whoever loads a version must go by; raises as `trusted` does."""
    return trusted(bucket, model, version, trust).manifest


def signers(bucket: Bucket, model: str, version: str) -> list[str]:
    """The ids of the keys in whose names a version is signed; nothing is verified."""
    names = bucket.names_below(keys.signatures(model, version))
    return sorted({found for name in names if (found := keys.signed_by(name))})


def check_nothing_added(bucket: Bucket, manifest: Manifest) -> None:
    """Refuse a version in whose folder lies what its manifest does not list.

    Raises:
        CorruptVersion: naming what was added.
        CollectedVersion: retention let go of it.
    """
    prefix = f"{keys.versions(manifest.model)}/{manifest.version}"
    found = [key.removeprefix(f"{prefix}/") for key in bucket.keys_below(prefix)]
    if _COLLECTED in found:
        ModelRegistry(bucket, manifest.model).check_kept(manifest.version)
    known = manifest.files.keys() | _RESERVED
    added = [name for name in found if name not in known and not name.startswith("signatures/")]
    if added:
        raise CorruptVersion(
            f"{manifest.model} {manifest.version}",
            expected=f"the files {sorted(manifest.files)} and no others",
            found=f"{added} added since it was published",
        )


def _signature(bucket: Bucket, key: str) -> Signature | None:
    """A signature, if there is one that can be read: another may still be good."""
    try:
        return signing.decode(bucket.read(key), where=key)
    except (NotFound, CorruptVersion):
        return None


def read_file(bucket: Bucket, manifest: Manifest, name: str) -> bytes:
    """One file of a version, verified against its manifest.

    Raises:
        CorruptVersion: not listed, missing, or other bytes than were published.
        CollectedVersion: retention let go of it.
    """
    where = f"{manifest.model} {manifest.version} {name}"
    if name not in manifest.files:
        raise CorruptVersion(where, expected=f"one of {sorted(manifest.files)}", found=name)
    try:
        body = bucket.read(keys.version_file(manifest.model, manifest.version, name))
    except NotFound:
        ModelRegistry(bucket, manifest.model).check_kept(manifest.version)
        raise CorruptVersion(where, expected="the published file", found="nothing") from None
    verify(manifest, name, body)
    return body


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


def list_versions(bucket: Bucket, model: str) -> list[str]:
    """Names of the complete versions of a model, oldest first; half-written ones are invisible."""
    prefix = keys.versions(model)
    return [
        name
        for name in bucket.names_below(prefix)
        if keys.is_version(name) and "manifest.json" in bucket.names_below(f"{prefix}/{name}")
    ]


def covering(bucket: Bucket, model: str, fingerprint: str) -> str | None:
    """The newest complete version made from exactly this fingerprint."""
    for name in reversed(bucket.names_below(keys.versions(model))):
        if keys.is_version(name) and keys.covers(name, fingerprint):
            try:
                if read_manifest(bucket, model, name).fingerprint == fingerprint:
                    return name
            except UnknownVersion:
                continue
    return None
