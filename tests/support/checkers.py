"""Programs that check configuration without running what it is for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INFRA = Path(__file__).parents[2] / "infra"
_FOLDERS = (Path(sys.executable).parent, INFRA.parent / ".venv/node/node_modules/.bin")


def installed(name: str, remedy: str) -> str:
    """The path of a program of this environment or machine; where it lacks, a failure in CI."""
    path = shutil.which(name, path=os.pathsep.join([*map(str, _FOLDERS), os.environ["PATH"]]))
    if path is None and os.environ.get("CI") != "true":
        pytest.skip(f"{name} is not installed; {remedy}")
    assert path is not None, f"{name} is not installed; {remedy}"
    return path


def check(
    name: str, *arguments: object, remedy: str = "`make test` installs it"
) -> tuple[int, str]:
    """Exit code, and all that the program printed."""
    ended = subprocess.run(
        [installed(name, remedy), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr
