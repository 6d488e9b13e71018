"""Tiny services for the supervisor: one that runs, one that exits, one that ignores SIGTERM."""

import sys
from collections.abc import Callable
from pathlib import Path

from overnight.infra.stack.service import Service

STAYS = "import time; time.sleep(600)"
STUBBORN = """
import signal, pathlib, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("child").write_text(str(child.pid))
time.sleep(600)
"""


def always(_started: float) -> bool:
    return True


def service(
    folder: Path, program: str = STAYS, *, ready: Callable[[float], bool] = always, **changes
) -> Service:
    """A service in a folder, named `tiny` unless the changes say otherwise."""
    fields = {
        "name": "tiny",
        "title": "Tiny",
        "command": (sys.executable, "-c", program),
        "environment": {},
        "folder": folder,
        "log": folder / "logs" / "tiny.log",
        "ready": ready,
        "stop_seconds": 2,
    }
    return Service(**(fields | changes))
