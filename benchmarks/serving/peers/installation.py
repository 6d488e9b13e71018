"""Environments of the peers: exact versions from a file, installed by uv, kept for next time."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.serving.peers import network

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PLACE = ROOT / ".venv" / "peers"
APPLICATIONS = HERE / "applications"
NETWORK = PLACE / "network"
# ONNX and MLflow's folders are written by these, since they have what is needed for it.
ONNX_WRITER = "mlflow-onnx"
_FORMS = {
    "network.onnx": (ONNX_WRITER, "onnx_form.py", "onnx"),
    "mlflow-onnx": (ONNX_WRITER, "mlflow_form.py", "onnx"),
    "mlflow-keras": ("mlflow-keras", "mlflow_form.py", "keras"),
}


class Unbuilt(Exception):
    """An environment that could not be installed, with the end of the log."""


def python(name: str) -> Path:
    return PLACE / name / "bin" / "python"


def is_built(name: str) -> bool:
    """Whether it was installed from the versions that are listed now."""
    mark = PLACE / name / "requirements.sha256"
    return mark.exists() and mark.read_text() == _digest(name)


def build(names: Sequence[str]) -> dict[str, str]:
    """Make the environments that are missing, one at a time; what failed, and why."""
    failed: dict[str, str] = {}
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("environments", total=len(names) + 1)
        for name in names:
            progress.update(task, description=f"installing {name}")
            try:
                if not is_built(name):
                    _install(name)
            except Unbuilt as error:
                failed[name] = str(error)
            progress.advance(task)
        progress.update(task, description="training the network")
        prepare()
        progress.update(task, description="environments are ready")
        progress.advance(task)
    return failed


def prepare() -> None:
    """Make the network, and the forms of it whose writers are there.

    Raises:
        Unbuilt: a form could not be written.
    """
    PLACE.mkdir(parents=True, exist_ok=True)
    if not network.is_made(NETWORK):
        # In its own process: TensorFlow has no business in this one.
        _run([sys.executable, "-m", network.__name__, str(NETWORK)], folder=ROOT)
    for form, (writer, script, flavour) in _FORMS.items():
        if not (NETWORK / form).exists() and is_built(writer):
            _write(NETWORK / form, python(writer), script, flavour)


def _write(form: Path, interpreter: Path, script: str, flavour: str) -> None:
    """Have a form written aside, so that one is there whole or not at all."""
    aside = form.with_name("unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    aside.unlink(missing_ok=True)
    _run(
        [str(interpreter), str(APPLICATIONS / script), flavour, str(NETWORK), str(aside)],
        folder=PLACE,
    )
    aside.rename(form)


def clean() -> dict[str, str]:
    """The environment of a child: none of our settings, and compiled files may be kept."""
    ours = ("OVERNIGHT_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _install(name: str) -> None:
    place = PLACE / name
    shutil.rmtree(place, ignore_errors=True)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise Unbuilt("uv is not installed; `make check` brings it")
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(place)], folder=ROOT)
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python(name))]
    _run([*install, "--requirement", str(_listed(name))], folder=ROOT)
    (place / "requirements.sha256").write_text(_digest(name))


def _run(command: Sequence[str], *, folder: Path) -> None:
    ended = subprocess.run(
        command, cwd=folder, env=clean(), capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        output = (ended.stderr or ended.stdout).strip().splitlines()[-5:]
        raise Unbuilt(
            f"{' '.join(command[:4])} … ended with {ended.returncode}: " + "\n".join(output)
        )


def _listed(name: str) -> Path:
    return HERE / "environments" / f"{name}.txt"


def _digest(name: str) -> str:
    return hashlib.sha256(_listed(name).read_bytes()).hexdigest()
