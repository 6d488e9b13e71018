"""A real S3 server over a socket, on free ports and in a temporary folder."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overnight.infra.stack import seaweedfs_service, store_security
from overnight.infra.stack.ports import free_port
from overnight.infra.stack.seaweedfs_service import InnerPorts
from overnight.store.errors import OvernightError
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.limits import LIMIT

ACCESS, SECRET = "tests", "the-secret-of-tests"
_READY_SECONDS = 60
_WORKERS = 16


@contextmanager
def seaweed(folder: Path, *, config_text: str = "", bucket: str = "ready") -> Iterator[str]:
    """Run SeaweedFS, and answer its endpoint once it takes writes.

    Whoever else `config_text` lets in, ACCESS and SECRET have to be able to write to the bucket.
    """
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
        "actions": ["Admin"],
    }
    config = folder / "s3.json"
    config.write_text(config_text or json.dumps({"identities": [identity]}))
    store_security.write(folder)
    master, volume, filer, admin, s3, s3_grpc = free_ports(6)
    inner = InnerPorts(master=master, volume=volume, filer=filer, admin=admin, s3_grpc=s3_grpc)
    command = [
        _binary(),
        *seaweedfs_service.flags(folder / "store", inner, s3_port=s3, identities_file=config),
        # Each test's bucket takes volumes of its own; by itself the server allows as many as the
        # free disk divided by their greatest size, which a small machine reaches.
        "-volume.max=100000",
    ]
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, "GOMEMLIMIT": "400MiB"}
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        endpoint = f"http://127.0.0.1:{s3}"
        _wait(endpoint, server, bucket)
        yield endpoint
    finally:
        # Its folder is thrown away, so nothing has to be written to the end; a polite end can hang.
        server.kill()
        server.wait()


def _binary() -> str:
    found = os.environ.get("WEED_BIN") or shutil.which(
        "weed", path=str(Path(sys.executable).parent)
    )
    assert found, "no weed beside this Python: install the stack extra"
    return found


def _wait(endpoint: str, server: "subprocess.Popen[bytes]", name: str) -> None:
    """Until a real write is read back: health comes before the volumes do."""
    bucket = S3Bucket(S3Address(endpoint, name, ACCESS, SECRET), tries=1)
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        assert server.poll() is None, "SeaweedFS ended while starting"
        try:
            bucket.ensure()
            bucket.create("probe/ready", b"ready")
            assert bucket.read("probe/ready", LIMIT) == b"ready"
        except OvernightError:
            assert time.monotonic() < deadline, "SeaweedFS did not take writes in time"
            time.sleep(0.1)
        else:
            return


def free_ports(count: int) -> list[int]:
    """Free ports whose gRPC twins, 10,000 above, are free as well.

    Each worker has ports of its own: what listens at one may take long to start.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports: list[int] = []
    while len(ports) < count:
        port = free_port(exclude=ports, twin=10_000)
        if port % _WORKERS == worker % _WORKERS:
            ports.append(port)
    return ports
