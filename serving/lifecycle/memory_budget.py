"""Memory budget of a worker: which versions stay loaded, and whether another one fits."""

import ctypes
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overnight.serving.inference.runtime import interpreters_for, rows_for
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES

NETWORK = "predictor.tflite"
DEFAULT_BYTES = 64_000_000
# Measured with small convolutional networks: packed weights and the arena of each interpreter.
# What is estimated so is twice of what a version really takes.
WEIGHTS_FACTOR = 2
ARENA_BYTES = 2_000_000

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryBudget:
    """What a worker may hold in memory besides the versions that answer now."""

    threads: int
    budget_bytes: int = DEFAULT_BYTES

    def takes_bytes(self, manifest: Manifest) -> int:
        """A cautious estimate of what one version takes in one worker."""
        interpreter_bytes = WEIGHTS_FACTOR * manifest.files[NETWORK].size_bytes + ARENA_BYTES
        tensor_bytes = rows_for(self.threads) * _row_bytes(manifest)
        return interpreters_for(self.threads) * interpreter_bytes + tensor_bytes

    def kept(self, before: Sequence[Manifest]) -> list[str]:
        """The versions that stay of those that served `before` the current one, newest first.

        The previous one always does, because that is where a rollback leads; the others do as
        long as all of them fit into the budget together.
        """
        kept: list[str] = []
        left = self.budget_bytes
        for manifest in before:
            left -= self.takes_bytes(manifest)
            if kept and left < 0:
                break
            kept.append(manifest.version)
        return kept


def _row_bytes(manifest: Manifest) -> int:
    """What one row takes with all its inputs and outputs."""
    specs = (*manifest.tensors.inputs, *manifest.tensors.outputs)
    return sum(math.prod(one.shape) * np.dtype(NUMPY_TYPES[one.datatype]).itemsize for one in specs)


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
