"""Processors that this process may use: its affinity and its container's CPU quota."""

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores(quota: Path = _QUOTA) -> int:
    """The smaller of the process's CPU affinity and its container's quota, at least 1."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(ours, _quota(quota) or ours))


def _quota(file: Path) -> int | None:
    """The CPU quota of a container (cgroup v2), rounded up; None without a limit."""
    try:
        most, period = file.read_text().split()
        return math.ceil(int(most) / int(period))
    except (OSError, ValueError):
        return None
