"""What a stack on one machine made for itself alone is in no log, database, object or command."""

import base64
import stat
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.limits import LIMIT
from tests.support.stack import RunningStack

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

KEPT = (
    *("embedded.env", "s3.json", "identities", "keys/signing.pem"),
    *("security.toml", "store.pem"),
)
# The store's own files are read through the store.
STORE = "store"
ROOMS = ("models", "datasets", "landing", "probe")


def values(file: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in file.read_text().splitlines() if "=" in line)
    return {name: value.strip("'\"") for name, _, value in lines if not name.startswith("#")}


def secrets(home: Path) -> dict[str, bytes]:
    """All that nobody else may read, by where it is kept."""
    found = {}
    for file in (home / "embedded.env", *(home / "identities").iterdir()):
        for name, value in values(file).items():
            if name.endswith(("SECRET_KEY", "TOKEN", "PREFECT_AUTH")):
                # Without the name of the user, which everybody may know.
                found[f"{file.name} {name}"] = value.rpartition(":")[2].encode()
            if name.endswith("PREFECT_AUTH"):
                found[f"{file.name} {name}, encoded"] = base64.b64encode(value.encode())
    private = (home / "keys" / "signing.pem").read_text().splitlines()
    found["signing.pem"] = private[1].encode()
    found["store.pem"] = (home / "store.pem").read_text().splitlines()[1].encode()
    for number, line in enumerate((home / "security.toml").read_text().splitlines()):
        if line.startswith("key = ") and str(home) not in line:
            found[f"security.toml {number}"] = line.partition('"')[2].strip('"').encode()
    return found


def written(home: Path) -> dict[str, bytes]:
    """Every other file of the home, and every object of the bucket."""
    files = (path for path in home.rglob("*") if path.is_file())
    names = {str(path.relative_to(home)): path for path in files}
    found = {}
    for name, path in names.items():
        if not name.startswith((*KEPT, f"{STORE}/")):
            with suppress(FileNotFoundError):
                found[name] = path.read_bytes()
    return found


def objects(stack: RunningStack) -> dict[str, bytes]:
    who = values(stack.home / "identities" / "administration.env")
    keys = who["OVERNIGHT_S3_ACCESS_KEY"], who["OVERNIGHT_S3_SECRET_KEY"]
    bucket = S3Bucket(S3Address(stack.store_url, "overnight", *keys))
    found = (key for room in ROOMS for key in bucket.keys_below(room))
    return {key: bucket.read(key, LIMIT) for key in found}


def test_what_a_stack_keeps_to_itself_is_found_nowhere_else(stack: RunningStack) -> None:
    sought = secrets(stack.home)
    places = written(stack.home) | objects(stack)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            places[f"process {process.pid}"] = "\0".join(process.cmdline()).encode()

    shown = [
        f"{name} in {place}"
        for place, body in places.items()
        for name, secret in sought.items()
        if secret in body
    ]

    assert shown == []
    # So that nobody looks into nothing: each identity's key, a token, and what two nights wrote.
    assert len(sought) >= 10
    assert min(map(len, sought.values())) >= 16
    for place in ("logs/worker.log", "prefect/prefect.db", "models/digits/aliases"):
        assert any(name.startswith(place) for name in places), place


def test_no_other_user_reads_what_the_services_write(stack: RunningStack) -> None:
    folders = [stack.home / name for name in ("logs", "prefect", "serving")]
    written = [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    readable = [path for path in written if stat.S_IMODE(path.stat().st_mode) & 0o077]

    assert stat.S_IMODE(stack.home.stat().st_mode) == 0o700
    assert len(written) > 10
    assert sorted(str(path.relative_to(stack.home)) for path in readable) == []
