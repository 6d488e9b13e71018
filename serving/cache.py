"""The disk cache: versions staged once for all workers of a host, there when the store is not."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store import keys
from store.bucket import Bucket
from store.errors import BadKey, CorruptVersion
from store.manifest import Manifest, decode
from store.versions import read_file, read_manifest, verify

MANIFEST = "manifest.json"
# What answering needs. The rest of a bundle is verified when it is staged, and then let go.
NEEDED = ("predictor.tflite", "golden.npz")


class Cache:
    """`<folder>/<model>/<version>/`, each complete (manifest last, folder renamed) or absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stage(self, bucket: Bucket, model: str, version: str) -> None:
        """Make sure that a version is here, verified file by file against its manifest.

        Raises:
            UnknownVersion, CorruptVersion: the store does not hold it whole.
            StoreUnavailable, StoreDenied: nothing is known about it now.
        """
        place = self._place(model, version)
        with self._only_one(place):
            try:
                read_bundle(place)
            except CorruptVersion:
                shutil.rmtree(place, ignore_errors=True)
                self._fetch(bucket, model, version, place)

    def read(self, model: str, version: str) -> tuple[Manifest, dict[str, bytes]]:
        """The manifest and the files that answering needs, verified again.

        Raises:
            CorruptVersion: not here, or no longer what was staged; the entry is gone then.
        """
        place = self._place(model, version)
        try:
            return read_bundle(place)
        except CorruptVersion:
            with self._only_one(place):
                shutil.rmtree(place, ignore_errors=True)
            raise

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
                with self._only_one(place):
                    shutil.rmtree(place, ignore_errors=True)

    def _place(self, model: str, version: str) -> Path:
        return self._folder / keys.check_model(model) / keys.check_version(version)

    def _fetch(self, bucket: Bucket, model: str, version: str, place: Path) -> None:
        manifest = read_manifest(bucket, model, version)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".staging-") as staging:
            for name in manifest.files:
                body = read_file(bucket, manifest, name)
                if name in NEEDED:
                    _write(Path(staging) / name, body)
            _write(Path(staging) / MANIFEST, manifest.encoded())
            Path(staging).rename(place)
            # TemporaryDirectory insists on removing what it made.
            Path(staging).mkdir()

    @contextmanager
    def _only_one(self, place: Path) -> Iterator[None]:
        """One process at a time; a lock on a file dies with whoever holds it."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def read_bundle(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A bundle in a folder: its manifest, and the verified files that answering needs.

    Raises:
        CorruptVersion: a file is missing, or is not what the manifest says.
    """
    try:
        manifest = decode((folder / MANIFEST).read_bytes(), where=str(folder / MANIFEST))
        files = {name: (folder / name).read_bytes() for name in NEEDED if name in manifest.files}
    except OSError as error:
        raise CorruptVersion(
            str(folder), expected="manifest.json and the files it lists", found=str(error)
        ) from None
    for name, body in files.items():
        verify(manifest, name, body)
    if NEEDED[0] not in files:
        raise CorruptVersion(
            str(folder), expected=f"{NEEDED[0]} among the files", found=f"{sorted(manifest.files)}"
        )
    return manifest, files


def _write(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
