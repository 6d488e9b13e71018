"""Costs of a server from /proc: CPU and memory of all its processes, children included."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Process:
    """One line of `/proc/<pid>/stat` (proc(5)), as far as it is needed."""

    pid: int
    parent: int
    session: int
    state: str
    ticks: int

    @classmethod
    def parsed(cls, stat: str) -> "Process":
        """Its ticks include those of children it has waited for, so that none get lost."""
        # A name may hold spaces and brackets; what follows the last bracket does not.
        head, _, tail = stat.rpartition(")")
        fields = tail.split()
        return cls(
            pid=int(head.split(" ", 1)[0]),
            state=fields[0],
            parent=int(fields[1]),
            session=int(fields[3]),
            ticks=sum(int(field) for field in fields[11:15]),
        )


def running() -> list[Process]:
    results = []
    for entry in PROC.iterdir():
        # Processes end while they are being listed.
        with suppress(OSError):
            if entry.name.isdigit():
                results.append(Process.parsed((entry / "stat").read_text()))
    return results


def family(leader: int, processes: Iterable[Process]) -> list[Process]:
    """The leader, its descendants, and the remaining processes of its session."""
    processes = [process for process in processes if process.state != "Z" or process.pid == leader]
    members = {process.pid for process in processes if leader in {process.pid, process.session}}
    while more := {
        process.pid
        for process in processes
        if process.parent in members and process.pid not in members
    }:
        members |= more
    return [process for process in processes if process.pid in members]


def cpu_seconds(processes: Iterable[Process]) -> float:
    """User and system time of all of them together."""
    return sum(process.ticks for process in processes) / os.sysconf("SC_CLK_TCK")


def resident_mb(processes: Iterable[Process]) -> list[float]:
    """Of each, largest first; pages that several share are counted for each."""
    results = []
    for process in processes:
        with suppress(OSError, IndexError):
            pages = int((PROC / str(process.pid) / "statm").read_text().split()[1])
            results.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    return sorted(results, reverse=True)


def proportional_mb(processes: Iterable[Process]) -> float:
    """Of all together; a page that n processes share counts once."""
    total = 0
    for process in processes:
        with suppress(OSError):
            text = (PROC / str(process.pid) / "smaps_rollup").read_text()
            total += int(text.split("\nPss:", 1)[1].split()[0])
    return total / 1024


def start(
    command: Sequence[str], *, folder: Path, environment: dict[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Start a server as the leader of a session of its own."""
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the server to stop, wait, and end by their ids whatever of it is still there."""
    members = family(process.pid, running())
    with suppress(OSError):
        process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    known = {member.pid for member in members}
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        left = [
            member
            for member in running()
            if member.state != "Z" and (member.pid in known or member.session == process.pid)
        ]
        if not left:
            break
        for member in left:
            with suppress(OSError):
                os.kill(member.pid, signal.SIGKILL)
        time.sleep(0.1)
    process.wait()
