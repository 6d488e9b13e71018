"""A wheel of this checkout, and a fresh environment with it: what a user has who installs it.

Both are made once for all workers of a test run. Packages come from uv's cache where it has them,
in the versions of our lock file.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from overnight import __version__
from overnight.store.local_files import lock

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
EXTRAS = "serving,training,stack,postgresql"
_SECONDS = 900


@dataclass(frozen=True)
class WheelEnvironment:
    """A virtual environment in which the wheel is installed, and nothing of the checkout is."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a shell in which it is active; no setting of ours is in it."""
        ours = ("OVERNIGHT_", "PYTHON", "VIRTUAL_ENV", "PREFECT_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return kept | {"PATH": path, "VIRTUAL_ENV": str(self.folder)}

    def install(self, *what: str | Path) -> None:
        """Install wheels, folders or requirements."""
        _install(self.python, *map(str, what))

    def run(
        self,
        *command: str,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        code: int = 0,
        seconds: float = 300,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in a folder to its end; fails the test at another exit code than `code`."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment | dict(settings or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert done.returncode == code, (
            f"{' '.join(command)}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        )
        return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""

    def build(folder: Path) -> None:
        command = [UV, "build", "--wheel", "--quiet", "--out-dir", folder]
        subprocess.run(command, cwd=ROOT, check=True, timeout=_SECONDS)

    (built,) = _once(tmp_path_factory, "wheel", build).glob("*.whl")
    return built


@pytest.fixture(scope="session")
def wheel_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> WheelEnvironment:
    """An environment with the wheel and all that it needs on one machine."""

    def make(folder: Path) -> None:
        venv = [UV, "venv", "--quiet", "--python", sys.executable, folder / "venv"]
        subprocess.run(venv, check=True, timeout=_SECONDS)
        _install(folder / "venv" / "bin" / "python", f"overnight[{EXTRAS}] @ {wheel.as_uri()}")
        _link_compiled(folder / "venv")

    return WheelEnvironment(_once(tmp_path_factory, "environment", make) / "venv")


@pytest.fixture
def own_environment(wheel_environment: WheelEnvironment, tmp_path: Path) -> WheelEnvironment:
    """A copy of the environment in which a test may install what it likes.

    Files are links to those of the other: installing replaces files and never writes into them.
    """
    folder = tmp_path / "venv"
    shutil.copytree(wheel_environment.folder, folder, symlinks=True, copy_function=os.link)
    for script in (folder / "bin").iterdir():
        # Scripts name their interpreter.
        if script.is_file() and not script.is_symlink() and script.stat().st_size < 100_000:
            text = script.read_bytes()
            script.unlink()
            moved = text.replace(bytes(wheel_environment.folder), bytes(folder))
            script.write_bytes(moved)
            script.chmod(0o755)
    return WheelEnvironment(folder)


def of_version(wheel: Path, version: str, folder: Path) -> Path:
    """The same wheel as another release, in `folder`: only the number in it is another."""
    rows, renamed = [], folder / wheel.name.replace(__version__, version, 1)
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(renamed, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            path = name.replace(
                f"overnight-{__version__}.dist-info", f"overnight-{version}.dist-info"
            )
            if name == "overnight/__init__.py" or name.endswith("dist-info/METADATA"):
                line = re.escape(__version__).encode()
                body = re.sub(line, version.encode(), body, count=1)
            if name.endswith("dist-info/RECORD"):
                body = "".join([*rows, f"{path},,\n"]).encode()
            new.writestr(path, body)
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={sha256},{len(body)}\n")
    return renamed


def _install(python: Path, *what: str) -> None:
    constraints = python.parents[1] / "constraints.txt"
    if not constraints.exists():
        export = [UV, "export", "--frozen", "--no-hashes", "--no-emit-project", "--quiet"]
        extras = [part for extra in EXTRAS.split(",") for part in ("--extra", extra)]
        command = [*export, "--no-dev", *extras, "--output-file", constraints]
        subprocess.run(command, cwd=ROOT, check=True, timeout=_SECONDS, stdout=subprocess.DEVNULL)
    command: Sequence[str | Path] = [
        UV, "pip", "install", "--quiet", "--python", python, "--constraint", constraints, *what
    ]  # fmt: skip
    # Without asking any index where the cache has everything.
    offline = subprocess.run([*command, "--offline"], capture_output=True, check=False)
    if offline.returncode:
        subprocess.run(command, check=True, timeout=_SECONDS)


def _link_compiled(environment: Path) -> None:
    """Give the packages of an environment the bytecode of the same files in ours.

    Compiling what one run imports takes 15 CPU s. Python itself compares each with its source, and
    compiles again what differs; it replaces such a file and never writes into the link.
    """
    ours, theirs = (
        Path(sysconfig.get_path("purelib", vars={"base": str(base), "platbase": str(base)}))
        for base in (sys.prefix, environment)
    )
    for compiled in ours.rglob("__pycache__/*.pyc"):
        link = theirs / compiled.relative_to(ours)
        if link.parents[1].is_dir() and not link.exists():
            link.parent.mkdir(exist_ok=True)
            link.hardlink_to(compiled)


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one worker of the test run fills, and all use."""
    base = factory.getbasetemp()
    # The workers of one run have folders beside one another.
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / f"shared-{name}"
    with lock(shared / f"shared-{name}.lock"):
        if not (folder / ".made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / ".made").touch()
    return folder
