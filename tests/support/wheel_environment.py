"""A fresh environment with the wheel of this checkout, as `uv add overnight` leaves one."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


def make(place: Path, *extras: str) -> Path:
    """Build the wheel and install it with these extras, all as locked; answers its Python."""
    _uv("build", "--wheel", "--out-dir", place)
    (wheel,) = place.glob("*.whl")
    locked = place / "locked.txt"
    chosen = [word for extra in extras for word in ("--extra", extra)]
    exported = ("--frozen", "--no-default-groups", "--no-emit-project", "--no-hashes")
    _uv("export", *exported, *chosen, "--output-file", locked)
    environment = place / "environment"
    _uv("venv", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    install = ("pip", "install", "--python", python, "--requirement", locked, wheel)
    # All is in the cache on a machine that has made the checkout's own environment.
    try:
        _uv(*install, "--offline")
    except subprocess.CalledProcessError:
        _uv(*install)
    return python


def _uv(*arguments: object) -> None:
    command = [str(UV), *map(str, arguments), "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=500)
