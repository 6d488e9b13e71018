"""A real S3 server, on free ports and in a temporary folder."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from store.errors import OvernightError
from store.s3 import S3Address, S3Bucket
from tests.serving.rig import free_ports, until

ACCESS, SECRET = "serving-tests", "a secret of tests"


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SeaweedFS over a socket, with credentials."""
    folder = tmp_path_factory.mktemp("s3")
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
        "actions": ["Admin"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, admin, s3 = free_ports(5)
    weed = os.environ.get("WEED_BIN") or shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed, "no weed beside this Python: install the stack extra"
    command = [
        weed, "-logtostderr=true", "mini", f"-dir={folder}/store", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", "-master.telemetry=false", f"-master.port={master}",
        f"-volume.port={volume}", f"-filer.port={filer}", f"-admin.port={admin}",
        f"-s3.port={s3}", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0",
        "-s3.port.lance=0", "-s3.iam=false", "-webdav=false", "-admin.ui=false",
        "-s3.allowDeleteBucketNotEmpty=false", "-s3.autoCreateBucket=false",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        yield f"http://127.0.0.1:{s3}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def address(s3_endpoint: str, request: pytest.FixtureRequest) -> S3Address:
    """A bucket of its own for each test."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}-{time.time_ns() % 10**9}"
    return S3Address(s3_endpoint, name, ACCESS, SECRET)


@pytest.fixture
def bucket(address: S3Address) -> S3Bucket:
    bucket = S3Bucket(address)

    def writable() -> bool:
        with suppress(OvernightError):
            bucket.ensure()
            bucket.create("probe/ready", b"ready")
            return bucket.read("probe/ready") == b"ready"
        return False

    until(writable, why="SeaweedFS takes writes")
    return bucket
