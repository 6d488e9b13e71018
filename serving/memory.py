"""Whether another version fits into memory beside the one that answers."""

import ctypes
from contextlib import suppress
from pathlib import Path

# Measured with small convolutional networks: packed weights and the arena of each interpreter.
# What is estimated so is twice of what a version really takes.
WEIGHTS_FACTOR = 2
ARENA_BYTES = 2_000_000

_CGROUP = Path("/sys/fs/cgroup")


def needed_bytes(network_bytes: int, interpreters: int, *, tensor_bytes: int = 0) -> int:
    """A cautious estimate of what one predictor will take.

    `tensor_bytes`: inputs and outputs of all interpreters, whose rows may be large.
    """
    return interpreters * (WEIGHTS_FACTOR * network_bytes + ARENA_BYTES) + tensor_bytes


def give_back() -> None:
    """Return what was freed to the system, where the C library does not do so by itself."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def available_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int | None:
    """What may still be allocated here, or None where the system does not say."""
    found = [_of_machine(meminfo), _of_container(cgroup)]
    return min((one for one in found if one is not None), default=None)


def _of_machine(meminfo: Path) -> int | None:
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _of_container(cgroup: Path) -> int | None:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return int(limit) - used + _reclaimable(cgroup) if limit.isdigit() else None


def _reclaimable(cgroup: Path) -> int:
    """Pages of files not read lately count as used, and yet the kernel gives them up when asked."""
    with suppress(OSError, ValueError):
        for line in (cgroup / "memory.stat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "inactive_file":
                return int(count)
    return 0
