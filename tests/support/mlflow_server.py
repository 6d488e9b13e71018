"""A real MLflow server over a socket, from an environment of its own."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from tests.support.s3_server import free_ports
from tests.support.scheduler import shared
from tests.support.stopping import stop_process
from tests.support.waiting import until

_REQUIREMENTS = Path(__file__).parents[1] / "tasks" / "environments" / "mlflow.txt"
_NOT_ITS_OWN = ("PYTHON", "VIRTUAL_ENV", "MLFLOW_", "OVERNIGHT_")


@dataclass(frozen=True)
class MlflowServer:
    """A running MLflow server, queried by its REST API instead of the client that we use."""

    url: str

    def experiment(self, name: str) -> str:
        requested = f"experiments/get-by-name?experiment_name={quote(name, safe='')}"
        return str(self._asked(requested)["experiment"]["experiment_id"])

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """Every run of an experiment, newest first."""
        body = {"experiment_ids": [self.experiment(experiment)]}
        return list(self._asked("runs/search", body).get("runs", []))

    def history(self, run: str, metric: str) -> list[tuple[int, float]]:
        """Each step of a metric with its value."""
        found = self._asked(f"metrics/get-history?run_id={run}&metric_key={quote(metric, safe='')}")
        return [(int(one.get("step", 0)), float(one["value"])) for one in found["metrics"]]

    def artifact(self, run: str, name: str) -> bytes:
        with urlopen(f"{self.url}/get-artifact?path={name}&run_uuid={run}", timeout=60) as answer:
            return bytes(answer.read())

    def is_ready(self) -> bool:
        with suppress(URLError, OSError), urlopen(f"{self.url}/health", timeout=5) as answer:
            return bool(answer.read())
        return False

    def _asked(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        sent = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/api/2.0/mlflow/{path}", data=sent)
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))


def values(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """MLflow's lists of keys and values, as a mapping."""
    return {pair["key"]: pair["value"] for pair in pairs}


@pytest.fixture(scope="session")
def mlflow_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """One server for all tests that need one; each has a model of its own."""
    cache = pytestconfig.cache
    assert cache is not None
    python = _environment(cache.mkdir("mlflow"))
    with shared(pytestconfig, _running(python, tmp_path_factory.mktemp("mlflow"))) as server:
        yield server


@contextmanager
def _running(python: Path, folder: Path) -> Iterator[MlflowServer]:
    (port,) = free_ports(1)
    server = MlflowServer(f"http://127.0.0.1:{port}")
    app = ["uvicorn", "--host", "127.0.0.1", "--port", str(port), "mlflow.server.fastapi_app:app"]
    own = {name: v for name, v in os.environ.items() if not name.startswith(_NOT_ITS_OWN)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", *app], cwd=folder, env=own | _told(folder), stdout=log, stderr=log
        )
    try:
        until(server.is_ready, seconds=180, what=f"the MLflow server is ready, see {folder}/log")
        yield server
    finally:
        stop_process(process)


def _told(folder: Path) -> dict[str, str]:
    """What `mlflow server` tells its application, which takes seconds to import in each of two."""
    return {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder / 'runs.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _environment(cache: Path) -> Path:
    """A Python that has the server, kept for next time: compiled, it starts in half the time."""
    place = cache / hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:16]
    uv, python = Path(sys.executable).with_name("uv"), place / "bin" / "python"
    install = ["pip", "install", "--no-deps", "--python", python, "--requirement", _REQUIREMENTS]
    if not (place / "whole").exists():
        for command in (["venv", "--clear", "--python", sys.executable, place], install):
            subprocess.run([uv, *command], check=True, capture_output=True, timeout=280)
        (place / "whole").touch()
    return python
