"""A project in an empty folder, with the wheel in a fresh environment: from nothing to an upgrade.

One stack runs throughout. Its store and serving are never started again by what happens to models.
"""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from overnight import __version__
from overnight.infra.stack import state_file
from overnight.infra.stack.processes import is_alive
from tests.support.s3_server import free_ports
from tests.support.waiting import until
from tests.support.wheel_environment import WheelEnvironment, of_version

pytestmark = [pytest.mark.servers, pytest.mark.training, pytest.mark.timeout(1_500)]

NEXT = "9.0.0"


@dataclass(frozen=True)
class ProjectShell:
    """A shell of somebody in the folder of a project, with the environment active."""

    environment: WheelEnvironment
    folder: Path
    settings: dict[str, str]

    def overnight(self, *words: str, code: int = 0) -> str:
        return self.environment.run(
            "overnight", *words, folder=self.folder, settings=self.settings, code=code, seconds=900
        ).stdout

    @property
    def home(self) -> Path:
        return self.folder / ".overnight"

    @property
    def serving(self) -> str:
        return f"http://127.0.0.1:{self.settings['OVERNIGHT_SERVING_PORT']}"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.serving}{path}", timeout=10) as response:
            return json.load(response)

    def version(self, model: str) -> str:
        """The version that serving answers with; empty while there is none."""
        try:
            found = self.get(f"/v2/models/{model}")
        except OSError:
            return ""
        return str(found["versions"][-1])

    def processes(self) -> list[bool]:
        """Of the supervisor and of each service, whether it runs."""
        stack = state_file.read(self.home)
        recorded = (stack.supervisor, *(service.process for service in stack.services))
        return [is_alive(process) for process in recorded]

    def process(self, service: str) -> int:
        record = state_file.read(self.home).named(service)
        assert record is not None
        assert record.process is not None
        return record.process.pid


@pytest.fixture
def shell(own_environment: WheelEnvironment, tmp_path: Path) -> Iterator[ProjectShell]:
    names = ("S3", "PREFECT", "SERVING", "SERVING_GRPC")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    settings = {f"OVERNIGHT_{name}_PORT": str(port) for name, port in ports.items()}
    settings |= {"OVERNIGHT_SERVING_WORKERS": "1"}
    folder = tmp_path / "corner-shop"
    folder.mkdir()
    shell = ProjectShell(own_environment, folder, settings)
    yield shell
    # A test that failed while nothing ran has nothing to stop, which `down` would answer with 4.
    if (folder / "overnight.toml").exists() and any(shell.processes()):
        shell.overnight("down", "--wait-seconds", "0")
        assert not any(shell.processes())


def test_a_project_is_made_served_upgraded_and_grows_while_it_serves(
    shell: ProjectShell, wheel: Path, tmp_path: Path
) -> None:
    # Given an empty folder, init and up are all that a served version takes.
    shell.overnight("init", "--model", "wine")
    shell.overnight("up")
    first = shell.version("wine")
    store, serving = shell.process("store"), shell.process("serving")

    # When a second model is made and deployed, and no service is started again.
    shell.overnight("new", "bread", "--like", "regression")
    assert "added bread" in shell.overnight("deploy")
    shell.overnight("retrain", "bread")

    # Then serving answers for both.
    assert until(lambda: shell.version("bread"))
    assert shell.version("wine") == first
    assert (shell.process("store"), shell.process("serving")) == (store, serving)

    # When overnight is upgraded, what serves continues to, and the next run has to train.
    shell.overnight("down", "--wait-seconds", "0")
    shell.environment.install(of_version(wheel, NEXT, tmp_path))
    shell.overnight("up", "--no-train")
    assert until(lambda: shell.version("wine")) == first
    changed = json.loads(shell.overnight("why", "wine", "--json"))["axes"]
    assert f"{__version__} then, {NEXT} now" in str(changed)

    # When a model's line is removed, nothing is deployed for it, and it still answers.
    packaging = shell.folder / "pyproject.toml"
    lines = packaging.read_text().splitlines(keepends=True)
    packaging.write_text("".join(line for line in lines if not line.startswith("bread =")))
    assert "removed bread" in shell.overnight("deploy")
    assert shell.version("bread")
