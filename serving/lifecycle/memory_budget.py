"""Memory budget of a worker: which versions stay loaded, and whether another one fits."""

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overnight.serving.inference.golden_examples import KEPT_ROWS, row_bytes
from overnight.serving.inference.runtime import interpreters_for, rows_for
from overnight.store.encoding import network_inputs
from overnight.store.registry.manifest import Manifest

NETWORK = "predictor.tflite"
DEFAULT_BYTES = 64_000_000
# Measured with small convolutional networks: packed weights and the arena of each interpreter.
# The estimate is twice of what a version really takes.
WEIGHTS_FACTOR = 2
ARENA_BYTES = 2_000_000

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryBudget:
    """The memory that a worker may use for versions besides those that answer now."""

    threads: int
    budget_bytes: int = DEFAULT_BYTES

    def version_bytes(self, manifest: Manifest) -> int:
        """A cautious estimate of the memory of one version in one worker."""
        interpreter_bytes = WEIGHTS_FACTOR * manifest.files[NETWORK].size_bytes + ARENA_BYTES
        specs = (*network_inputs(manifest.tensors), *manifest.tensors.outputs)
        tensor_bytes = (rows_for(self.threads) + KEPT_ROWS) * row_bytes(specs)
        return interpreters_for(self.threads) * interpreter_bytes + tensor_bytes

    def retained(self, previous: Sequence[Manifest]) -> list[str]:
        """Which of the `previous` versions stay loaded; both newest first.

        The one before the current always does, because that is where a rollback leads; the others
        do as long as all of them fit into the budget together.
        """
        retained: list[str] = []
        left = self.budget_bytes
        for manifest in previous:
            left -= self.version_bytes(manifest)
            if retained and left < 0:
                break
            retained.append(manifest.version)
        return retained


def return_freed_memory() -> None:
    """Return freed memory to the system, where the C library does not do so by itself."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def available_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int | None:
    """Memory that may still be allocated here, or None where the system does not say."""
    available_kb = statistic(meminfo, "MemAvailable:")
    limits = [available_kb and available_kb * 1024, _container_bytes(cgroup)]
    return min((limit for limit in limits if limit is not None), default=None)


def _container_bytes(cgroup: Path) -> int | None:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    # Cached file pages not read lately count as used, and yet the kernel frees them on demand.
    reclaimable = statistic(cgroup / "memory.stat", "inactive_file") or 0
    return int(limit) - used + reclaimable if limit.isdigit() else None


def statistic(path: Path, name: str) -> int | None:
    """The number that follows a name at the start of a line of the kernel's statistics."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return None
