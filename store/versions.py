"""Versions: a bundle of files that becomes visible when its manifest is written, last."""

import re
from collections.abc import Mapping

from store import keys
from store.bucket import Bucket, digest
from store.errors import CorruptVersion, NotFound, UnknownVersion
from store.manifest import FileEntry, Manifest, decode

_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_RESERVED = {"manifest.json", "decision.json"}


def entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Size and sha256 of every file of a bundle, as the manifest lists them."""
    return {
        name: FileEntry(size_bytes=len(body), sha256=digest(body))
        for name, body in sorted(files.items())
    }


def publish(bucket: Bucket, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write the bundle, then the manifest. Killed in between, nothing is visible.

    Publishing the same version again is no error: the same bytes are recognised.

    Raises:
        CorruptVersion: the files are not the ones the manifest lists.
        AlreadyExists: the version exists with other contents.
    """
    if entries(files) != manifest.files or _RESERVED & files.keys():
        raise CorruptVersion(
            f"{manifest.model} {manifest.version}",
            expected=f"the files {sorted(manifest.files)} as listed",
            found=f"{sorted(files)} with other names or contents",
        )
    for name, body in files.items():
        bucket.create(keys.version_file(manifest.model, manifest.version, name), body)
    bucket.create(keys.manifest(manifest.model, manifest.version), manifest.encoded())


def read_manifest(bucket: Bucket, model: str, version: str) -> Manifest:
    """The manifest of a version.

    Raises:
        UnknownVersion: there is none, so the version does not exist.
        CorruptVersion: it is damaged, or speaks of another model or version.
    """
    key = keys.manifest(model, version)
    try:
        manifest = decode(bucket.read(key), where=key)
    except NotFound:
        raise UnknownVersion(model, version) from None
    if (manifest.model, manifest.version) != (model, version):
        raise CorruptVersion(
            key, expected=f"{model} {version}", found=f"{manifest.model} {manifest.version}"
        )
    for name in manifest.files:
        if not _FILE.fullmatch(name) or name in _RESERVED:
            raise CorruptVersion(key, expected="plain file names", found=repr(name))
    return manifest


def read_file(bucket: Bucket, manifest: Manifest, name: str) -> bytes:
    """One file of a version, verified against its manifest.

    Raises:
        CorruptVersion: not listed, missing, or other bytes than were published.
    """
    where = f"{manifest.model} {manifest.version} {name}"
    if name not in manifest.files:
        raise CorruptVersion(where, expected=f"one of {sorted(manifest.files)}", found=name)
    try:
        body = bucket.read(keys.version_file(manifest.model, manifest.version, name))
    except NotFound:
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
