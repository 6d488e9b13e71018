"""The disk cache: versions staged once for all workers of a host, there when the store is not."""

import shutil
import tempfile
import time
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path

from overnight.store.errors import BadKey, CorruptRecord, CorruptVersion, UntrustedVersion
from overnight.store.local_files import create, lock
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry import approval
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.approval import StoredDecision
from overnight.store.registry.manifest import Manifest, decode
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.versions import decode_for, verify
from overnight.store.trust.record_signatures import decode as decode_record_signature
from overnight.store.trust.signing import decode as decode_signature
from overnight.store.trust.trusted_keys import Trust

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
# The decision about the version, and a signature that is stored beside it.
DECISION, DECISION_SIGNATURE = "decision.json", "decision-signature.json"
# What answering needs. The rest of a bundle is verified when it is staged, and not kept.
NEEDED = ("predictor.tflite", "golden.npz")
# Longer than any fetch takes.
_ABANDONED_SECONDS = 3_600


class DiskCache:
    """`<folder>/<model>/<version>/`, each complete (renamed once all files are there) or absent.

    A disk is trusted no more than the store: what is read is verified against its signatures again,
    the manifest and the decision.
    """

    def __init__(self, folder: Path, trust: Trust) -> None:
        self._folder, self._trust = folder, trust

    def stage(self, bucket: Bucket, record: AliasRecord) -> None:
        """Make sure that the version of a record is on this disk, verified file by file.

        It is signed, nobody rejected it, and if its answers reach clients, it was approved.

        Raises:
            UnknownVersion, CorruptVersion: the store does not hold it whole, or holds more.
            UntrustedVersion: no trusted key signed it, or the decision about it, or the key that
                signed the record may not promote it.
            RejectedVersion: it was rejected.
            StoreUnavailable, StoreDenied: it cannot be fetched now.
        """
        model, version = record.model, record.version
        folder, approved = self._version_folder(model, version), approval.needs_approval(record)
        with _locked(folder):
            try:
                manifest, _ = self._verified(model, version, approved=approved)
            except CorruptVersion:
                shutil.rmtree(folder, ignore_errors=True)
                self._fetch(bucket, record, folder)
            except UntrustedVersion:
                # It may have been signed anew since it was staged. The entry stays: it is good
                # again as soon as its key is trusted again.
                self._fetch(bucket, record, folder)
            else:
                approval.check_promoter(manifest, record, self._trust)

    def read(
        self, model: str, version: str, *, approved: bool = False
    ) -> tuple[Manifest, dict[str, bytes]]:
        """The manifest and the files that answering needs, verified again.

        `approved`: there has to be a decision. What an earlier release staged has none.

        Raises:
            CorruptVersion: not here, or no longer what was staged; the entry is deleted then.
            UntrustedVersion: a key that signed it or its decision is no longer trusted.
            RejectedVersion: it was rejected.
        """
        try:
            return self._verified(model, version, approved=approved)
        except CorruptVersion:
            folder = self._version_folder(model, version)
            with _locked(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _verified(
        self, model: str, version: str, *, approved: bool
    ) -> tuple[Manifest, dict[str, bytes]]:
        folder = self._version_folder(model, version)
        try:
            body = (folder / MANIFEST).read_bytes()
            signature = (folder / SIGNATURE).read_bytes() if (folder / SIGNATURE).exists() else b""
            decision = _decision_in(folder)
        except OSError as error:
            raise _incomplete(folder, error) from None
        where = str(folder / SIGNATURE)
        signatures = [decode_signature(signature, where=where)] if signature else []
        self._trust.verify(body, signatures, version=f"{model} {version}")
        manifest = decode_for(model, version, body)
        try:
            approval.check(manifest, decision, self._trust, is_needed=approved)
        except CorruptRecord as error:
            raise CorruptVersion(
                str(folder / DECISION), expected="the decision as staged", found=str(error)
            ) from None
        return manifest, _needed(folder, manifest)

    def manifest(self, model: str, version: str) -> Manifest | None:
        """The manifest of a version, not verified; None when it is not staged."""
        try:
            body = (self._version_folder(model, version) / MANIFEST).read_bytes()
            return decode(body, where=version)
        except (OSError, BadKey, CorruptVersion):
            return None

    def keep_only(self, model: str, versions: set[str]) -> None:
        """Delete every other version of a model from the disk."""
        model_folder = self._folder / keys.check_model(model)
        for folder in model_folder.iterdir() if model_folder.is_dir() else ():
            if keys.is_version(folder.name) and folder.name not in versions:
                with _locked(folder):
                    shutil.rmtree(folder, ignore_errors=True)

    def _version_folder(self, model: str, version: str) -> Path:
        return self._folder / keys.check_model(model) / keys.check_version(version)

    def _fetch(self, bucket: Bucket, record: AliasRecord, folder: Path) -> None:
        registry = ModelRegistry(bucket, record.model, self._trust)
        trusted = registry.trusted(record.version)
        decision = registry.decisions.approval(
            trusted.manifest, is_needed=approval.needs_approval(record)
        )
        approval.check_promoter(trusted.manifest, record, self._trust)
        registry.check_nothing_added(trusted.manifest)
        _remove_abandoned(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".staging-") as staging:
            for name in trusted.manifest.files:
                body = registry.read_file(trusted.manifest, name)
                if name in NEEDED:
                    create(Path(staging) / name, body)
            if decision is not None:
                create(Path(staging) / DECISION, decision.body)
                create(Path(staging) / DECISION_SIGNATURE, decision.signature.encoded())
            create(Path(staging) / SIGNATURE, trusted.signature.encoded())
            create(Path(staging) / MANIFEST, trusted.body)
            shutil.rmtree(folder, ignore_errors=True)
            Path(staging).rename(folder)
            # TemporaryDirectory fails when it cannot remove the folder that it made.
            Path(staging).mkdir()


def _decision_in(folder: Path) -> StoredDecision | None:
    """The decision that was staged with a version, if there was one."""
    if not (folder / DECISION).exists():
        return None
    detached = folder / DECISION_SIGNATURE
    signature = decode_record_signature(detached.read_bytes()) if detached.exists() else None
    return StoredDecision((folder / DECISION).read_bytes(), lambda _: signature)


def _locked(folder: Path) -> BufferedRandom:
    """One process at a time, until the returned file is closed."""
    return lock(folder.with_suffix(".lock"))


def _remove_abandoned(folder: Path) -> None:
    """Delete what killed fetches left; a fetch under way is younger than that."""
    for staging in folder.glob(".staging-*"):
        with suppress(OSError):
            if time.time() - staging.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(staging, ignore_errors=True)


def read_bundle(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A candidate's bundle in a folder, to be rehearsed: not published yet, so not signed.

    Raises:
        CorruptVersion: a file is missing, or is not what the manifest says.
    """
    try:
        manifest = decode((folder / MANIFEST).read_bytes(), where=str(folder / MANIFEST))
    except OSError as error:
        raise _incomplete(folder, error) from None
    return manifest, _needed(folder, manifest)


def _needed(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """The files that answering needs, verified against their digests."""
    try:
        files = {name: (folder / name).read_bytes() for name in NEEDED if name in manifest.files}
    except OSError as error:
        raise _incomplete(folder, error) from None
    for name, body in files.items():
        verify(manifest, name, body)
    if NEEDED[0] not in files:
        raise CorruptVersion(
            str(folder), expected=f"{NEEDED[0]} among the files", found=f"{sorted(manifest.files)}"
        )
    return files


def _incomplete(folder: Path, error: OSError) -> CorruptVersion:
    return CorruptVersion(
        str(folder), expected="manifest.json and the files it lists", found=str(error)
    )
