"""A new user follows docs/add-your-model.md to the letter, and it serves."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.s3_server import free_ports
from tests.support.signing_keys import write_keys
from tests.support.stopping import stop_process
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.training, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "add-your-model.md"
FOLDERS = ("cli", "flows", "infra", "models", "serving", "store", "tasks", "tests")
FILES = ("pyproject.toml", "deployments.yaml", "uv.lock")
# The run of the last chapter, without a whole stack.
RUN = "from overnight.flows.retrain import retrain; print(retrain('wine', return_state=True).name)"
_BLOCK = re.compile(
    r"(?:^`(?P<file>[\w./]+)`\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of the guide: a file to write, or a command to run."""

    kind: str
    file: str
    text: str


def blocks() -> list[Block]:
    matches = _BLOCK.finditer(GUIDE.read_text())
    return [Block(match["kind"], match["file"] or "", match["text"]) for match in matches]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, with the same environment under the names that the guide uses."""
    place = tmp_path_factory.mktemp("new-user") / "overnight"
    leave = shutil.ignore_patterns("__pycache__", ".venv", "*.mp4")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, place / folder, ignore=leave)
    # Its links lead to the copies, as they are relative.
    shutil.copytree(ROOT / "overnight", place / "overnight", ignore=leave, symlinks=True)
    for name in FILES:
        shutil.copy(ROOT / name, place / name)
    programs = place / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, arguments in {
        "python": "",
        "pytest": "-m pytest",
        "overnight": "-m overnight.cli.main",
    }.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)
    return place


@pytest.fixture(scope="module")
def environment(checkout: Path, digits_folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OVERNIGHT_")}
    return kept | {
        "PATH": f"{checkout / '.venv' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
        "OVERNIGHT_SOURCE_FOLDERS__DIGITS": str(digits_folder),
    }


@pytest.fixture(scope="module")
def followed(checkout: Path, environment: Mapping[str, str]) -> Path:
    """The checkout after all chapters but the last: files written, commands run."""
    for block in blocks():
        if "overnight up" in block.text:
            break
        if block.file:
            (checkout / block.file).write_text(block.text)
        elif block.kind == "bash":
            _run(["bash", "-euc", block.text], checkout, environment)
    return checkout


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture
def at_home(
    followed: Path,
    environment: Mapping[str, str],
    s3_address: S3Address,
    s3_bucket: S3Bucket,
    tmp_path: Path,
) -> dict[str, str]:
    """The settings of the new user's home, as the last chapter exports them."""
    write_keys(tmp_path)
    return {
        **environment,
        "OVERNIGHT_HOME": str(tmp_path),
        "OVERNIGHT_S3_ENDPOINT": s3_address.endpoint,
        "OVERNIGHT_S3_BUCKET": s3_address.bucket,
        "OVERNIGHT_S3_ACCESS_KEY": s3_address.access_key,
        "OVERNIGHT_S3_SECRET_KEY": s3_address.secret_key,
        "OVERNIGHT_SOURCE_FOLDERS__WINE": str(followed / "tests" / "models" / "wine" / "rows"),
        "OVERNIGHT_REPLICAS": "0",
    }


@pytest.fixture
def serving(followed: Path, at_home: Mapping[str, str]) -> Iterator[str]:
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "overnight.serving"],
        cwd=followed,
        env={**at_home, "OVERNIGHT_SERVING_PORT": str(port), "OVERNIGHT_SERVING_WORKERS": "1"},
        stdout=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}"
    stop_process(process)


def test_the_guide_leads_to_a_version_that_serves(
    followed: Path, at_home: Mapping[str, str], prefect_server: str, serving: str
) -> None:
    # Given the guide followed to its last chapter, two runs follow.
    retrain = [sys.executable, "-c", RUN]
    at_work = {**at_home, "PREFECT_API_URL": prefect_server}

    first = _run(retrain, followed, at_work)
    second = _run(retrain, followed, at_work)

    # Then both are promoted, the second over the first, and the guide's request is answered.
    assert first.split()[-1] == "Promoted"
    assert second.split()[-1] == "Promoted"
    answer = until(lambda: _predicted(serving))
    assert max(range(3), key=answer["predictions"][0].__getitem__) == 0


def _predicted(serving: str) -> dict[str, list[list[float]]] | None:
    """The response to the guide's curl, or None before serving answers."""
    command = next(block.text for block in blocks() if block.text.startswith("curl"))
    body = re.search(r"-d '(.*)'", command)
    assert body is not None
    request = urllib.request.Request(f"{serving}/v1/models/wine:predict", body[1].encode())
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            predictions: dict[str, list[list[float]]] = json.load(response)
            return predictions
    except OSError:
        return None


def test_a_model_like_sales_passes_the_suite_as_it_is_made(
    checkout: Path, environment: Mapping[str, str]
) -> None:
    _run(["overnight", "new", "bakery", "--like", "sales"], checkout, environment)

    suite = ["pytest", "-q", "tests/contracts/test_models.py", "-k", "bakery"]
    assert "passed" in _run(suite, checkout, environment)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Wine"], "lower-case letters and digits"),
        (["my-wine"], "lower-case letters and digits"),
        (["digits"], "exists already"),
        (["gates"], "exists already"),
        (["examples"], "exists already"),
        (["class"], "no word of Python"),
        (["null"], "no word of Python's or YAML's"),
        (["../x"], "lower-case letters and digits"),
    ],
)
def test_a_name_that_cannot_be_taken_is_refused_and_nothing_is_written(
    checkout: Path, environment: Mapping[str, str], arguments: list[str], message: str
) -> None:
    before = (checkout / "deployments.yaml").read_text()

    done = subprocess.run(
        ["overnight", "new", *arguments],
        cwd=checkout, env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert message in done.stderr
    assert (checkout / "deployments.yaml").read_text() == before
