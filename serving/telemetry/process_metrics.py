"""`process_*` of Prometheus' client libraries, for each worker, read from /proc at the scrape."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from overnight.serving.telemetry.metrics import WorkerCounters, counters, gauges

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat (proc(5)) after the name of the program, which may have spaces.
_USER, _SYSTEM, _STARTED, _VIRTUAL, _RESIDENT = 11, 12, 19, 20, 21
_FAMILIES = {
    "process_virtual_memory_bytes": "Virtual memory of a worker.",
    "process_resident_memory_bytes": "Resident memory of a worker.",
    "process_start_time_seconds": "When a worker started, in seconds since 1970.",
    "process_open_fds": "Open files and connections of a worker.",
    "process_max_fds": "How many a worker may open.",
}


def render_processes(workers: Mapping[str, WorkerCounters]) -> Iterator[str]:
    """The lines of every worker that still runs; none for one that just ended."""
    running = {
        worker: values
        for worker, counted in workers.items()
        if (values := _of_process(counted.gauges.pid)) is not None
    }
    samples = [({"worker": worker}, cpu) for worker, (cpu, _) in running.items()]
    yield from counters("process_cpu_seconds_total", "CPU seconds of a worker.", samples)
    for name, help_text in _FAMILIES.items():
        samples = [({"worker": worker}, values[name]) for worker, (_, values) in running.items()]
        yield from gauges(name, help_text, samples)


def _of_process(pid: int) -> tuple[float, dict[str, float]] | None:
    """CPU seconds and gauges of a process; None where there is none, or it is somebody else's."""
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        files = sum(1 for _ in (folder / "fd").iterdir())
        limits = (folder / "limits").read_text()
        boot = _boot_seconds()
    except OSError:
        return None
    most = next((line for line in limits.splitlines() if line.startswith("Max open files")), "")
    allowed = most.removeprefix("Max open files").split()[:1]
    cpu = (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS
    return cpu, {
        "process_virtual_memory_bytes": int(fields[_VIRTUAL]),
        "process_resident_memory_bytes": int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE"),
        "process_start_time_seconds": boot + int(fields[_STARTED]) / _TICKS,
        "process_open_fds": files,
        "process_max_fds": int(allowed[0]) if allowed and allowed[0].isdecimal() else -1,
    }


def _boot_seconds() -> float:
    """When this machine started, in seconds since 1970."""
    lines = Path("/proc/stat").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("btime")).split()[1])
