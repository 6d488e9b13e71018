"""Environments of clients whose dependencies are older than ours."""

import json
import subprocess
import sys
from pathlib import Path


def environment_of(requirements: Path, place: Path) -> Path:
    """The Python of a new environment at `place`, which has exactly the packages of a list."""
    uv = Path(sys.executable).with_name("uv")
    python = place / "bin" / "python"
    install = ["pip", "install", "--python", python, "--requirement", requirements, "--no-deps"]
    for command in (["venv", "--python", sys.executable, place], install):
        subprocess.run([uv, *command], check=True, capture_output=True, timeout=280)
    return python


def told_by(*command: object, sent: object) -> dict:
    """The object in the last line that a client prints, which gets a JSON value to send.

    Raises:
        AssertionError: it failed; with its errors.
    """
    done = subprocess.run(
        [str(part) for part in command],
        input=json.dumps(sent),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(told, dict)
    return told
