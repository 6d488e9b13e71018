"""Versions can be verified without any code of ours, as docs/signing.md says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, VERSION, manifest
from tests.support.limits import LIMIT
from tests.support.signing_keys import SIGNER, named, signer

PAGE = (Path(__file__).parents[1] / "docs" / "signing.md").read_text()
KEY = named(SIGNER).line.split()[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published version as anybody can copy it from the store."""
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    for key in bucket.keys_below("models"):
        copy = tmp_path / key.partition(f"{VERSION}/")[2]
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(bucket.read(key, LIMIT))
    return tmp_path


def _verify(folder: Path, key: str = KEY) -> "subprocess.CompletedProcess[str]":
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(program.strip().splitlines()) <= 16
    command = [sys.executable, "-I", "-c", program, str(folder), key]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_version_is_verified_by_the_lines_of_the_page(folder):
    done = _verify(folder)

    assert done.stdout == f"digits {VERSION} is as {SIGNER.key_id} signed it\n", done.stderr


@pytest.mark.parametrize(
    ("file", "message"),
    [("predictor.tflite", "predictor.tflite is not"), ("manifest.json", "InvalidSignature")],
)
def test_they_name_a_changed_file(folder, file, message):
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")

    done = _verify(folder)

    assert done.returncode == 1
    assert message in done.stderr


def test_another_key_finds_no_signature(folder):
    assert _verify(folder, named(signer("another")).line.split()[1]).returncode == 1


def test_every_command_of_the_page_exists():
    from typer.main import get_command

    from overnight.cli.commands.keys import app

    shown = set(re.findall(r"overnight keys (\w+)", PAGE))

    assert shown == set(get_command(app).commands)  # type: ignore[attr-defined]
