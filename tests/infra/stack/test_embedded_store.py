"""The embedded store as `overnight up` starts it, over the home of an earlier release."""

import socket
import ssl
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import pytest

from overnight.infra import connections
from overnight.infra.settings import Settings, load
from overnight.infra.stack import local_secrets, seaweedfs_service
from overnight.infra.stack.ports import free_port
from overnight.infra.stack.seaweedfs_service import InnerPorts
from overnight.infra.stack.service import Service
from overnight.infra.stack.service_runner import ServiceRunner
from overnight.store.errors import OvernightError, StoreDenied, StoreUnavailable
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]
# As an HTTP/2 client without TLS begins.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SHELL = {
    "AWS_ACCESS_KEY_ID": "SOMEBODYSKEY",
    "AWS_SECRET_ACCESS_KEY": "somebodys-secret",
    # It would win over the key in the store's own file.
    "WEED_JWT_SIGNING_KEY": "somebody's",
}


@dataclass(frozen=True)
class Running:
    """The store of a home, and the ports between its components."""

    settings: Settings
    inner: InnerPorts
    bucket: S3Bucket
    runner: ServiceRunner


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERNIGHT_HOME", str(home))
        patch.setenv("OVERNIGHT_S3_PORT", str(free_port()))
        local_secrets.write_credentials(home)
        settings = load()
        service = replace(
            seaweedfs_service.service(settings, keeps_running=False, write_every_seconds=0),
            hung_seconds=0,
        )
        bucket = connections.bucket(settings)
        _leave_what_an_earlier_release_wrote(service, bucket, elsewhere=home.parent)
        for name, value in _SHELL.items():
            patch.setenv(name, value)
        runner = ServiceRunner(service)

        def is_ready() -> bool:
            runner.tick(lambda _name: True)
            return runner.record.condition == "ready"

        try:
            until(is_ready, what="a store that is ready")
            inner = InnerPorts.model_validate_json((home / "store-ports.json").read_bytes())
            yield Running(settings, inner, bucket, runner)
        finally:
            runner.stop()


def _leave_what_an_earlier_release_wrote(
    service: Service, bucket: S3Bucket, *, elsewhere: Path
) -> None:
    """Write an object by a store without keys, and kill it."""
    service.before_start()
    (service.folder / "store").chmod(0o755)
    command = [word for word in service.command if word != "-disableHttp"]
    with (elsewhere / "earlier.log").open("wb") as log:
        earlier = subprocess.Popen(command, cwd=elsewhere, stdout=log, stderr=log)

    def writes() -> bool:
        try:
            bucket.ensure()
            bucket.create("probe/earlier", b"of an earlier release")
        except OvernightError:
            return False
        return True

    until(writes, what="the earlier store takes writes")
    earlier.kill()
    earlier.wait()


def test_what_was_written_before_the_ports_were_closed_is_read(running):
    assert running.bucket.read("probe/earlier", limit=100) == b"of an earlier release"


@pytest.mark.parametrize(
    ("component", "method", "path"),
    [
        ("filer", "GET", "/buckets/overnight/probe/earlier"),
        ("filer", "GET", "/buckets/overnight/"),
        ("filer", "GET", "/"),
        ("filer", "PUT", "/buckets/overnight/probe/foreign"),
        ("filer", "POST", "/buckets/overnight/probe/foreign"),
        ("filer", "POST", "/.tus/buckets/overnight/probe/foreign"),
        ("filer", "DELETE", "/buckets/overnight/probe/earlier"),
        ("master", "GET", "/dir/assign"),
        ("master", "GET", "/dir/lookup?volumeId=1"),
        ("master", "GET", "/dir/status"),
        ("master", "POST", "/submit"),
        ("master", "GET", "/col/delete?collection=overnight"),
        ("master", "GET", "/vol/vacuum"),
        ("volume", "GET", "/1,01637037d6"),
        ("volume", "PUT", "/1,01637037d6"),
        ("volume", "POST", "/1,01637037d6"),
        ("volume", "DELETE", "/1,01637037d6"),
        ("volume", "GET", "/stats/disk"),
        ("admin", "GET", "/"),
    ],
)
def test_a_request_without_keys_reaches_no_component(running, component, method, path):
    port = getattr(running.inner, component)
    sends = {"content": b"foreign"} if method in {"PUT", "POST"} else {}

    answer = httpx.request(
        method,
        f"http://127.0.0.1:{port}{path}",
        headers={"Origin": "http://other.example", "Upload-Length": "7"},
        trust_env=False,
        **sends,
    )

    assert answer.status_code in {401, 404}
    assert b"earlier" not in answer.content
    found = running.bucket.names_below("probe")
    assert ("earlier" in found, "foreign" in found) == (True, False)


@pytest.mark.parametrize("component", ["master", "volume", "filer", "admin", "s3_grpc"])
def test_between_components_nobody_speaks_without_the_certificate(running, component):
    port = getattr(running.inner, component) + (0 if component == "s3_grpc" else 10_000)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(_PREFACE)
        answered = _received(plain)

    # A server that speaks HTTP/2 without TLS answers with its settings: a frame of type 4.
    assert answered[3:4] != b"\x04"
    with pytest.raises(ssl.SSLError, match="certificate"):
        _speak_encrypted(port)


def _speak_encrypted(port: int) -> None:
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    anyone.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        anyone.wrap_socket(plain) as encrypted,
    ):
        encrypted.sendall(_PREFACE)
        encrypted.recv(1)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(64)
    except ConnectionError:
        return b""


def test_no_origin_may_read_what_the_store_answers(running):
    endpoint = running.settings.store_endpoint
    asked = {"Origin": "http://other.example", "Access-Control-Request-Method": "PUT"}

    with httpx.Client(base_url=endpoint, headers=asked, trust_env=False) as client:
        answers = [client.options("/overnight/probe/earlier"), client.get("/overnight")]

    assert not any(name.startswith("access-control") for one in answers for name in one.headers)


def test_nobody_else_may_read_a_file_of_the_store(running):
    home = running.settings.home
    keys = [home / "security.toml", home / "store.pem", home / "s3.json"]

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (home / "store", *keys)]

    assert modes == [0o700, 0o600, 0o600, 0o600]


def test_credentials_in_the_shell_that_starts_it_open_nothing(running):
    stranger = S3Address(
        running.settings.store_endpoint,
        running.settings.s3_bucket,
        _SHELL["AWS_ACCESS_KEY_ID"],
        _SHELL["AWS_SECRET_ACCESS_KEY"],
    )

    with pytest.raises(StoreDenied):
        S3Bucket(stranger, tries=1).names_below("probe")


def test_a_store_whose_index_refuses_writes_is_started_again(running):
    # given an index of which one write failed, so that it refuses all others
    bucket = S3Bucket(running.bucket.address, tries=1)
    store = psutil.Process(running.runner.record.process.pid)
    bucket.create("probe/removed", b"removed")
    store.rlimit(psutil.RLIMIT_FSIZE, (0, psutil.RLIM_INFINITY))
    with pytest.raises(StoreUnavailable, match="500"):
        bucket.remove("probe/removed")
    store.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    with pytest.raises(StoreUnavailable, match="500"):
        bucket.create("probe/refused", b"refused")

    # when its supervisor looks again
    until(lambda: _ticked(running.runner) != store.pid, what="another process")
    until(lambda: _ticked(running.runner) and _ready(running.runner), what="a ready store")

    # then it takes writes, and what it had acknowledged is there
    bucket.create("probe/accepted", b"accepted")
    assert bucket.read("probe/earlier", limit=100) == b"of an earlier release"


def _ticked(runner: ServiceRunner) -> int | None:
    runner.tick(lambda _name: True)
    return runner.record.process.pid if runner.record.process is not None else None


def _ready(runner: ServiceRunner) -> bool:
    return runner.record.condition == "ready"
