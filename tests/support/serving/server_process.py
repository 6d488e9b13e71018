"""Helpers that start and ask the real thing."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from overnight.store.objects.s3 import S3Address
from tests.support.s3_server import free_ports
from tests.support.signing_keys import write_keys
from tests.support.stopping import stop_process

ROOT = Path(__file__).parents[3]


@dataclass
class Serving:
    """A running `python -m overnight.serving`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    # 0 where gRPC is not answered.
    grpc_port: int = 0

    def request(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], object]:
        """One request over its own connection: status, headers in lower case, JSON or bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, raw, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            content = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
            is_json = "json" in found.get("content-type", "")
            return response.status, found, json.loads(content) if is_json else content
        finally:
            connection.close()

    def is_ready(self) -> bool:
        with suppress(OSError):
            return self.request("GET", "/v2/health/ready")[0] == 200
        return False

    def version(self) -> str | None:
        with suppress(OSError):
            return self.request("GET", "/v2/models/digits")[1].get("x-model-version")
        return None

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


@contextmanager
def run_serving(
    *arguments: str,
    place: Path,
    python: Path = Path(sys.executable),
    folder: Path = ROOT,
    grpc: bool = False,
    **settings: str,
) -> Iterator[Serving]:
    """Start `python -m overnight.serving` in a folder, and stop it as an operator would.

    It trusts the key of tests, unless the settings name a file of trusted keys.
    """
    port, grpc_port = free_ports(2)
    place.mkdir(parents=True, exist_ok=True)
    if "trusted_keys_file" not in settings:
        write_keys(place)
    log = place / f"serving-{port}.log"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OVERNIGHT_")
    }
    environment |= {"OVERNIGHT_HOME": str(place), "OVERNIGHT_REPLICA": "host-under-test"}
    # Its port would be that of every other server of a test.
    environment |= {"OVERNIGHT_SERVING_GRPC_PORT": "0"}
    # No load balancer looks at it, unless a test says so.
    environment |= {"OVERNIGHT_DRAIN_SECONDS": "0"}
    environment |= {f"OVERNIGHT_{name.upper()}": value for name, value in settings.items()}
    command = [str(python), "-m", "overnight.serving", "--port", str(port), *arguments]
    command += ["--grpc-port", str(grpc_port)] if grpc else []
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=folder, env=environment)
    try:
        yield Serving(process, port, log, grpc_port if grpc else 0)
    finally:
        stop_process(process, seconds=40)


def follow_settings(address: S3Address, **settings: str) -> dict[str, str]:
    """The settings that make serving follow a bucket, quickly."""
    return {
        "s3_endpoint": address.endpoint,
        "s3_bucket": address.bucket,
        "s3_access_key": address.access_key,
        "s3_secret_key": address.secret_key,
        "serving_workers": "2",
        "poll_seconds": "0.1",
        **settings,
    }
