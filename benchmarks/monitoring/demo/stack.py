"""The whole stack of the demonstration, on free ports, in a home of its own."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.monitoring.demo.project_copy import Size, copy_project
from benchmarks.monitoring.demo.traffic import MODEL
from overnight.cli.runs import follow
from overnight.cli.runs.exit_codes import ENDED
from overnight.infra import connections
from overnight.infra.prefect_api import PrefectApi
from overnight.infra.settings import Settings, load
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.registry import ModelRegistry
from tests.support.s3_server import free_ports

_RUN_SECONDS = 900
_POLL_SECONDS = 0.5
_PORTS = ("S3", "PREFECT", "SERVING", "SERVING_GRPC")


@dataclass(frozen=True)
class DemoStack:
    """A running stack, and what this process needs of it."""

    folder: Path
    settings: Settings
    serving_port: int

    @property
    def bucket(self) -> Bucket:
        return connections.bucket(self.settings)

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.bucket, MODEL, connections.trust(self.settings))

    @property
    def prefect(self) -> PrefectApi:
        return connections.prefect(self.settings)

    def manifest(self, version: str) -> Manifest:
        return self.registry.trusted(version).manifest

    def champion(self) -> str:
        version = self.registry.champion_version()
        if version is None:
            raise RuntimeError(f"no version was promoted; see the runs at {self.prefect_url}")
        return version

    @property
    def prefect_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.prefect_port}"

    def monitor(self) -> Mapping[str, Any]:
        """Run the monitor; returns the state in which the run ended."""
        run = follow.trigger(self.prefect, "monitor", MODEL, {})
        return self.ended(str(run["id"]))["state"]

    def ended(self, run: str) -> Mapping[str, Any]:
        """A run, once it has ended.

        Raises:
            TimeoutError: it did not within 15 minutes.
        """
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            status = self.prefect.find(f"/flow_runs/{run}")
            if status is not None and status["state"]["type"] in ENDED:
                return status
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"the run {run} has not ended; see {self.prefect_url}")

    def started_by_an_alarm(self, *, seconds: float = 120) -> Mapping[str, Any]:
        """The retraining that the automation started.

        Raises:
            TimeoutError: none was.
        """
        wanted = {"name": {"any_": ["retrain"]}}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            runs = self.prefect.filter("/flow_runs", flows=wanted)
            for run in runs:
                if run["parameters"].get("requested_by") == "monitor":
                    return run
            time.sleep(_POLL_SECONDS)
        raise TimeoutError("the alarm started no retraining")


@contextmanager
def demo_stack(
    home: Path, size: Size, digits: Path | None, *, again: bool = False
) -> Iterator[DemoStack]:
    """Copy the project into an emptied home, start everything, train, and stop it at the end.

    `again` continues with a home whose champion was trained and met no student.
    """
    if not again:
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        copy_project(home, size)
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    for name in [name for name in os.environ if name.startswith("OVERNIGHT_")]:
        del os.environ[name]
    os.environ |= {f"OVERNIGHT_{name}_PORT": str(port) for name, port in ports.items()}
    os.environ |= {"OVERNIGHT_SERVING_WORKERS": "1"}
    if digits is not None:
        os.environ["OVERNIGHT_SOURCE_FOLDERS__DIGITS"] = str(digits)
    os.chdir(home)
    log = home / "up.log"
    try:
        with log.open("w") as output:
            up = subprocess.run(
                [_overnight(), "up"], stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if up.returncode:
            raise RuntimeError(f"`overnight up` failed, see {log}:\n{log.read_text()[-3_000:]}")
        yield DemoStack(home, load(), ports["SERVING"])
    finally:
        subprocess.run(
            [_overnight(), "down", "--wait-seconds", "0"], check=False, stdout=subprocess.DEVNULL
        )


def _overnight() -> str:
    return str(Path(sys.executable).with_name("overnight"))
