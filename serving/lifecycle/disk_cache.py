"""The disk cache: versions staged once for all workers of a host, there when the store is not."""

import shutil
import tempfile
import time
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path

from overnight.store.errors import BadKey, CorruptVersion, UntrustedVersion
from overnight.store.local_files import create, lock
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import Manifest, decode
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.versions import decode_for, verify
from overnight.store.trust.signing import decode as decode_signature
from overnight.store.trust.trusted_keys import Trust

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
# What answering needs. The rest of a bundle is verified when it is staged, and then let go.
NEEDED = ("predictor.tflite", "golden.npz")
# Longer than any fetch takes.
_ABANDONED_SECONDS = 3_600


class Cache:
    """`<folder>/<model>/<version>/`, each complete (folder renamed when all is there) or absent.

    A disk is believed no more than the store: what is read is held against its signature again.
    """

    def __init__(self, folder: Path, trust: Trust) -> None:
        self._folder, self._trust = folder, trust

    def stage(self, bucket: Bucket, model: str, version: str) -> None:
        """Make sure that a version is here, signed, and verified file by file.

        Raises:
            UnknownVersion, CorruptVersion: the store does not hold it whole, or holds more.
            UntrustedVersion: nobody who is trusted signed it.
            StoreUnavailable, StoreDenied: nothing is known about it now.
        """
        place = self._place(model, version)
        with _alone(place):
            try:
                self._verified(model, version)
            except CorruptVersion:
                shutil.rmtree(place, ignore_errors=True)
                self._fetch(bucket, model, version, place)
            except UntrustedVersion:
                # It may have been signed anew since it was staged; if it was not, what is here
                # is good again as soon as its key is trusted again.
                self._fetch(bucket, model, version, place)

    def read(self, model: str, version: str) -> tuple[Manifest, dict[str, bytes]]:
        """The manifest and the files that answering needs, verified again.

        Raises:
            CorruptVersion: not here, or no longer what was staged; the entry is gone then.
            UntrustedVersion: whoever signed it is no longer trusted.
        """
        try:
            return self._verified(model, version)
        except CorruptVersion:
            place = self._place(model, version)
            with _alone(place):
                shutil.rmtree(place, ignore_errors=True)
            raise

    def _verified(self, model: str, version: str) -> tuple[Manifest, dict[str, bytes]]:
        place = self._place(model, version)
        try:
            body = (place / MANIFEST).read_bytes()
            signature = (place / SIGNATURE).read_bytes() if (place / SIGNATURE).exists() else b""
        except OSError as error:
            raise _not_whole(place, error) from None
        found = [decode_signature(signature, where=str(place / SIGNATURE))] if signature else []
        self._trust.verify(body, found, version=f"{model} {version}")
        manifest = decode_for(model, version, body)
        return manifest, _needed(place, manifest)

    def manifest(self, model: str, version: str) -> Manifest | None:
        """What is staged of a version, if it is."""
        try:
            body = (self._place(model, version) / MANIFEST).read_bytes()
            return decode(body, where=version)
        except (OSError, BadKey, CorruptVersion):
            return None

    def keep_only(self, model: str, versions: set[str]) -> None:
        """Free the disk of every other version of a model."""
        folder = self._folder / keys.check_model(model)
        for place in folder.iterdir() if folder.is_dir() else ():
            if keys.is_version(place.name) and place.name not in versions:
                with _alone(place):
                    shutil.rmtree(place, ignore_errors=True)

    def _place(self, model: str, version: str) -> Path:
        return self._folder / keys.check_model(model) / keys.check_version(version)

    def _fetch(self, bucket: Bucket, model: str, version: str, place: Path) -> None:
        registry = ModelRegistry(bucket, model, self._trust)
        found = registry.trusted(version)
        registry.check_nothing_added(found.manifest)
        _sweep(place.parent)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".staging-") as staging:
            for name in found.manifest.files:
                body = registry.read_file(found.manifest, name)
                if name in NEEDED:
                    create(Path(staging) / name, body)
            create(Path(staging) / SIGNATURE, found.signature.encoded())
            create(Path(staging) / MANIFEST, found.body)
            shutil.rmtree(place, ignore_errors=True)
            Path(staging).rename(place)
            # TemporaryDirectory insists on removing what it made.
            Path(staging).mkdir()


def _alone(place: Path) -> BufferedRandom:
    """One process at a time, as long as what is returned is open."""
    return lock(place.with_suffix(".lock"))


def _sweep(folder: Path) -> None:
    """Free what a fetch left that was killed; one that goes on is younger than that."""
    for staging in folder.glob(".staging-*"):
        with suppress(OSError):
            if time.time() - staging.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(staging, ignore_errors=True)


def read_bundle(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A candidate's bundle in a folder, to be rehearsed: not published yet, so nobody signed it.

    Raises:
        CorruptVersion: a file is missing, or is not what the manifest says.
    """
    try:
        manifest = decode((folder / MANIFEST).read_bytes(), where=str(folder / MANIFEST))
    except OSError as error:
        raise _not_whole(folder, error) from None
    return manifest, _needed(folder, manifest)


def _needed(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """The files that answering needs, held against their digests."""
    try:
        files = {name: (folder / name).read_bytes() for name in NEEDED if name in manifest.files}
    except OSError as error:
        raise _not_whole(folder, error) from None
    for name, body in files.items():
        verify(manifest, name, body)
    if NEEDED[0] not in files:
        raise CorruptVersion(
            str(folder), expected=f"{NEEDED[0]} among the files", found=f"{sorted(manifest.files)}"
        )
    return files


def _not_whole(folder: Path, error: OSError) -> CorruptVersion:
    return CorruptVersion(
        str(folder), expected="manifest.json and the files it lists", found=str(error)
    )
