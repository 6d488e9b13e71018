"""A new user follows the guide of each starter to the letter, and it serves."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.s3_server import free_ports
from tests.support.signing_keys import write_keys
from tests.support.stopping import stop_process
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.training, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "docs" / "starters"
WHOLE = "classification"
# What `overnight up` does with a model that has no version, without a whole stack.
RUN = (
    "from overnight.flows.retrain import retrain; from overnight.tasks.outcomes import read; "
    "state = retrain('tumour', return_state=True); print(read(state.name, state.message).outcome)"
)
_BLOCK = re.compile(
    r"(?:^`(?P<file>[\w./]+)`\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of a guide: a file to write, or commands to run."""

    kind: str
    file: str
    text: str


def blocks(guide: str) -> list[Block]:
    matches = _BLOCK.finditer((GUIDES / f"{guide}.md").read_text())
    return [Block(match["kind"], match["file"] or "", match["text"]) for match in matches]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A shell with the commands that the guides use, and none of this one's settings."""
    programs = tmp_path_factory.mktemp("bin")
    for name, arguments in {"python": "", "overnight": "-m overnight.cli.main"}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OVERNIGHT_")}
    return kept | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def follow(guide: str, folder: Path, environment: Mapping[str, str]) -> Path:
    """Write the files and run the commands, up to `overnight up`; returns the project."""
    for block in blocks(guide):
        if "overnight up" in block.text:
            break
        if block.file:
            (folder / block.file).write_text(block.text)
        elif block.kind == "bash":
            for line in block.text.splitlines():
                if line.startswith("cd "):
                    folder /= line.removeprefix("cd ")
                else:
                    run(["bash", "-euc", line], folder, environment)
    return folder


def run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


# The starter of regressions is also made, trained and served in `test_project_lifecycle.py`.
@pytest.mark.parametrize(
    "guide", [pytest.param("regression", marks=pytest.mark.thorough), "text", "images", "series"]
)
def test_the_guide_leads_to_a_model_of_ones_own_that_keeps_its_contract(
    guide: str, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    assert any("overnight test" in block.text for block in blocks(guide))

    # Every command ends with 0, and the last of them is `overnight test`.
    follow(guide, tmp_path, environment)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str]) -> Path:
    return follow(WHOLE, tmp_path_factory.mktemp("new-user"), environment)


@pytest.fixture
def at_home(
    environment: Mapping[str, str], s3_address: S3Address, s3_bucket: S3Bucket, tmp_path: Path
) -> dict[str, str]:
    """The settings of the new user's home."""
    write_keys(tmp_path)
    return {
        **environment,
        "OVERNIGHT_HOME": str(tmp_path),
        "OVERNIGHT_S3_ENDPOINT": s3_address.endpoint,
        "OVERNIGHT_S3_BUCKET": s3_address.bucket,
        "OVERNIGHT_S3_ACCESS_KEY": s3_address.access_key,
        "OVERNIGHT_S3_SECRET_KEY": s3_address.secret_key,
        "OVERNIGHT_REPLICAS": "0",
    }


@pytest.fixture
def port(project: Path, at_home: Mapping[str, str]) -> Iterator[int]:
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "overnight.serving"],
        cwd=project,
        env={
            **at_home,
            "OVERNIGHT_SERVING_PORT": str(port),
            "OVERNIGHT_SERVING_GRPC_PORT": "0",
            "OVERNIGHT_SERVING_WORKERS": "1",
        },
        stdout=subprocess.DEVNULL,
    )
    yield port
    stop_process(process)


def test_a_csv_of_ones_own_leads_to_a_version_that_serves(
    project: Path, at_home: Mapping[str, str], prefect_server: str, port: int
) -> None:
    # Given the guide followed to its last chapter, a run follows.
    at_work = {**at_home, "PREFECT_API_URL": prefect_server}
    ended = run([sys.executable, "-c", RUN], project, at_work)

    # Then its version is promoted, and the guide's request is answered.
    assert ended.split()[-1] == "Promoted"
    program = next(block.text for block in blocks(WHOLE) if block.file == "ask.py")
    (project / "ask.py").write_text(program.replace("8080", str(port)))
    answer = until(lambda: _answer(project, at_home))
    assert sum(answer["predictions"][0]) == pytest.approx(1, abs=1e-3)


def _answer(folder: Path, environment: Mapping[str, str]) -> dict[str, list[list[float]]] | None:
    """What the guide's request prints, or None before serving answers."""
    done = subprocess.run(
        [sys.executable, "ask.py"],
        cwd=folder, env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return json.loads(done.stdout) if done.returncode == 0 else None
