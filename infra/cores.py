"""How many processors this process may use, which is not how many the machine has."""

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores(quota: Path = _QUOTA) -> int:
    """The processors of this process's affinity, or of its container's quota when that is less."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(ours, _quota(quota) or ours))


def _quota(file: Path) -> int | None:
    """A container's share of processors, rounded up; None without a limit."""
    try:
        most, period = file.read_text().split()
        return math.ceil(int(most) / int(period))
    except (OSError, ValueError):
        return None
