"""A whole stack on free ports, with a home of its own and the champions of a release.

Training the first champions on an empty home is tested once, in `make faults`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.infra import keyring
from overnight.infra.errors import OrchestratorUnavailable
from overnight.infra.prefect_api import PrefectApi
from overnight.infra.stack import local_secrets, state_file
from overnight.infra.stack.processes import is_alive
from overnight.infra.stack.state_file import ServiceRecord
from tests.support import release_export
from tests.support.faults.tally import TALLY
from tests.support.genuine_digits import GenuineDigits
from tests.support.s3_server import free_ports
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
# Prefect starts within half a minute on a machine under load.
_RESTART_SECONDS = 180.0


class PatientPrefect(PrefectApi):
    """A Prefect server whose restart no test notices: what only reads is asked again meanwhile."""

    def request(self, method: str, path: str, body: object = None) -> Any:
        if method != "GET" and not path.endswith("/filter"):
            return super().request(method, path, body)
        deadline = time.monotonic() + _RESTART_SECONDS
        while True:
            try:
                return super().request(method, path, body)
            except OrchestratorUnavailable as away:
                print(f"Prefect was away: {away}", file=sys.stderr)
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)


@dataclass(frozen=True)
class RunningStack:
    """The addresses, the `overnight` command and the processes of a stack."""

    home: Path
    environment: Mapping[str, str]
    serving_url: str
    prefect_url: str
    store_url: str

    @property
    def prefect_auth(self) -> str:
        """User and password of the Prefect server, which `overnight up` made."""
        lines = (line.partition("=") for line in (self.home / "embedded.env").read_text().split())
        return next(value for name, _, value in lines if name == local_secrets.PREFECT_AUTH)

    @property
    def prefect(self) -> PatientPrefect:
        # A busy machine answers late, and no test is about that.
        return PatientPrefect(f"{self.prefect_url}/api", auth=self.prefect_auth, timeout_seconds=60)

    def overnight(self, *words: str, seconds: float = 600) -> "subprocess.CompletedProcess[str]":
        """Run a command of this stack to its end."""
        return subprocess.run(
            [sys.executable, "-m", "overnight.cli.main", *words],
            env=dict(self.environment),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def succeeds(self, *words: str, seconds: float = 600) -> None:
        """Run a command that must succeed."""
        done = self.overnight(*words, seconds=seconds)
        assert done.returncode == 0, done.stdout + done.stderr

    def query_json(self, *words: str) -> Any:
        """The JSON output of a command, whatever its exit code."""
        return json.loads(self.overnight(*words, "--json").stdout)

    def champion(self) -> str:
        """The version that serves."""
        found: str = self.query_json("status")["models"]["digits"]["champion"]["version"]
        return found

    def service(self, name: str) -> ServiceRecord:
        """The record of a service in the state file."""
        found = state_file.read(self.home).named(name)
        assert found is not None
        return found

    def kill(self, name: str) -> int:
        """Send SIGKILL to a service; returns its process id."""
        process = self.service(name).process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        TALLY.inject(f"{name} of a stack was killed")
        return process.pid

    def await_restart(self, name: str, killed: int, *, seconds: float = 120) -> None:
        """Wait until a killed service is ready as another process."""

        def again() -> bool:
            found = self.service(name)
            moved = found.process is not None and found.process.pid != killed
            return moved and found.condition == "ready"

        until(again, seconds=seconds, what=f"{name} ready again")

    def await_ready(self) -> None:
        """Wait until every service is ready, or done."""

        def ready() -> bool:
            services = state_file.read(self.home).services
            return all(one.condition in {"ready", "done"} for one in services)

        until(ready, seconds=_RESTART_SECONDS, what="every service ready")

    def log_ends(self, lines: int = 40) -> str:
        """The state of the services and the ends of their logs, for a test that failed."""
        services = "\n".join(map(str, state_file.read(self.home).services))
        logs = sorted((self.home / "logs").glob("*.log"))
        ends = (
            f"== {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
            for log in logs
        )
        return "\n".join([services, *ends])


def new_stack(home: Path, digits: Path) -> RunningStack:
    """A stack on free ports that was not started yet."""
    names = ("S3", "PREFECT", "SERVING", "SERVING_GRPC")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OVERNIGHT_")}
    ours |= {f"OVERNIGHT_{name}_PORT": str(port) for name, port in ports.items()}
    # The shortest silence after which a run can be called dead, so that tests wait less.
    ours |= {"OVERNIGHT_RUN_SILENT_SECONDS": "60", "OVERNIGHT_RUN_RETRY_SECONDS": "15"}
    ours |= {"OVERNIGHT_HOME": str(home), "OVERNIGHT_SOURCE_FOLDERS__DIGITS": str(digits)}
    return RunningStack(
        home=home,
        environment=ours,
        serving_url=f"http://127.0.0.1:{ports['SERVING']}",
        prefect_url=f"http://127.0.0.1:{ports['PREFECT']}",
        store_url=f"http://127.0.0.1:{ports['S3']}",
    )


@contextmanager
def stopped_afterwards(stack: RunningStack) -> Iterator[RunningStack]:
    """Stop the stack at the end, and check that no process is left."""
    try:
        yield stack
    finally:
        stopped = stack.overnight("down", "--wait-seconds", "0")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert not any(is_alive(service.process) for service in state_file.read(stack.home).services)


@contextmanager
def running_stack(home: Path, digits_folder: Path, digits: GenuineDigits) -> Iterator[RunningStack]:
    """A stack that imports the versions of a release, so that nothing needs to be trained."""
    stack = new_stack(home, digits_folder)
    export = home.with_name(f"{home.name}-export")
    release_export.export_to(export, digits)
    with stopped_afterwards(stack):
        stack.succeeds("up", "--no-train")
        # Others signed the release, and what an unknown key signed is not loaded.
        for key in release_export.trusted_keys():
            keyring.trust(home / "keys" / "trusted", key)
        stack.succeeds("import", str(export))
        stack.succeeds("up")
        yield stack
