"""Processes of this machine, identified by pid and creation time, since pids are reused."""

import os
import time
from collections.abc import Iterable

import psutil
from pydantic import BaseModel, ConfigDict

# The kernel counts the start of a process in ticks since boot, and boot itself by a clock that is
# corrected now and then.
_CLOCK_SECONDS = 2.0


class ProcessId(BaseModel):
    """A process by its pid and its creation time, in seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    pid: int
    created: float


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now, or None."""
    try:
        return ProcessId(pid=pid, created=psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(process: ProcessId | None) -> bool:
    """Whether exactly this process still runs; a zombie does not."""
    if process is None:
        return False
    try:
        current = psutil.Process(process.pid)
        same = abs(current.create_time() - process.created) < _CLOCK_SECONDS
        return same and current.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def session_of(process: ProcessId) -> list[psutil.Process]:
    """The living members of the session this process leads or led, itself included."""
    leader = identify(process.pid)
    if leader is not None and abs(leader.created - process.created) >= _CLOCK_SECONDS:
        return []  # the pid belongs to another process by now
    return [member for member in psutil.process_iter() if _session(member.pid) == process.pid]


def end(process: ProcessId, *, seconds: float) -> None:
    """Terminate a session's leader, and kill what is left of its session after `seconds`."""
    if is_alive(process):
        psutil.Process(process.pid).terminate()
        deadline = time.monotonic() + seconds
        while is_alive(process) and time.monotonic() < deadline:
            time.sleep(0.05)
    kill(session_of(process))


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes at once; those that are gone already are ignored."""
    doomed = list(processes)
    for process in doomed:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(doomed, timeout=5)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
