"""Probe of a new version: a process of its own loads it before any worker of the host does.

A version may crash the runtime or take all memory while it is loaded, and no exception tells. The
process that finds out is thrown away; no worker ever loads what it did not survive.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.serving.lifecycle.probe_process import FIT, REFUSED

# Loading takes seconds.
PROBE_SECONDS = 120


class RunningProbe(Protocol):
    """A probe that was started; ask it until it has an outcome."""

    def outcome(self) -> str | None:
        """Why the version must not be loaded, empty if it may be; None while that is open.

        Not to be asked again once there is an outcome.
        """

    def cancel(self) -> None:
        """End it; its outcome is not wanted any more."""


class Probe(Protocol):
    """Finds out whether a version that is staged can be loaded on this host."""

    def start(self, model: str, version: str) -> RunningProbe:
        """Begin to load a version where it harms nobody.

        Raises:
            CorruptVersion, UntrustedVersion: it is not staged as it was signed.
            OSError: no process can be started now.
        """


@dataclass(frozen=True)
class ChildProbe:
    """Loads each version in a process of its own, as `workers` workers with `threads` each would.

    The bytes are verified here and handed over, in a file without a name in `folder`, so the
    process needs neither keys nor the cache.
    """

    cache: DiskCache
    folder: Path
    threads: int
    workers: int
    clock: Callable[[], float] = time.monotonic

    def start(self, model: str, version: str) -> RunningProbe:
        manifest, files = self.cache.read(model, version)
        output = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed once the outcome is read
        # A file and not a pipe: a process that does not read must not keep us from going on.
        with tempfile.TemporaryFile(dir=self.folder) as job:
            parts = {"manifest.json": manifest.encoded()} | files
            sizes = {name: len(body) for name, body in parts.items()}
            job.write(json.dumps(sizes).encode() + b"\n")
            job.writelines(parts.values())
            job.seek(0)
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "overnight.serving.lifecycle.probe_process"),
                    *(str(self.threads), str(self.workers), str(PROBE_SECONDS)),
                ],
                stdin=job,
                stdout=output,
            )
        return _RunningChild(process, output, self.clock() + PROBE_SECONDS, self.clock)


@dataclass(frozen=True)
class _RunningChild:
    process: "subprocess.Popen[bytes]"
    output: IO[bytes]
    deadline: float
    clock: Callable[[], float]

    def outcome(self) -> str | None:
        status = self.process.poll()
        if status is None and self.clock() < self.deadline:
            return None
        if status is None:
            self.process.kill()
            self.process.wait()
            status = -signal.SIGALRM
        with self.output:
            self.output.seek(0)
            report = self.output.read().decode(errors="replace").strip()
        return _reason(status, report)

    def cancel(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()


def _reason(status: int, report: str) -> str:
    if status == FIT:
        return ""
    if status == REFUSED and report:
        return report
    if status == -signal.SIGALRM:
        return f"it was not loaded within {PROBE_SECONDS} s by a process of its own"
    ended = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit code {status}"
    hint = "; the memory of the host may be too small" if status == -signal.SIGKILL else ""
    return f"loading it ended a process that had been started for that, {ended}{hint}"
