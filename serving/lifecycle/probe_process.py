"""The process of a probe: loads one version as a worker does, and ends.

Exit code 0: the version can be loaded. 3: it cannot, and standard output says why. Any other end is
that of a version which killed the process.
"""

import json
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from overnight.serving.errors import UnfitVersion
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.memory_budget import available_bytes, statistic
from overnight.store.errors import OvernightError
from overnight.store.registry.manifest import Manifest, decode

_STATUS = Path("/proc/self/status")
# Exit codes.
FIT, REFUSED = 0, 3


def main(threads: int, workers: int, seconds: int) -> int:
    """Load the version on standard input with so many threads; `workers` of them have to fit."""
    _stand_back(seconds)
    sizes = json.loads(sys.stdin.buffer.readline())
    files = {name: sys.stdin.buffer.read(size) for name, size in sizes.items()}
    available = available_bytes()
    _limit_memory(available)
    before = _peak_bytes()
    try:
        manifest = decode(files.pop("manifest.json"), where="manifest.json")
        load_version(manifest, files, threads=threads)
        _check_memory(manifest, (_peak_bytes() - before) * workers, available, workers)
    except (OvernightError, MemoryError) as error:
        print(error if str(error) else "there is not enough memory to load it")
        return REFUSED
    return FIT


def _stand_back(seconds: int) -> None:
    """Be the process that the kernel ends first, leave no core file, and end in time."""
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit_memory(available: int | None) -> None:
    """Allow no more than is available: where a container's memory ends, all its processes do."""
    used_kb = statistic(_STATUS, "VmData:")
    if available is None or used_kb is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (used_kb * 1024 + available, hard))


def _peak_bytes() -> int:
    """The most memory that this process held; 0 where the system does not say."""
    # Not `getrusage`: it counts what the parent held before this program was started in its place.
    return (statistic(_STATUS, "VmHWM:") or 0) * 1024


def _check_memory(manifest: Manifest, needed: int, available: int | None, workers: int) -> None:
    if available is not None and needed > available:
        raise UnfitVersion(
            manifest.model,
            manifest.version,
            f"{workers} workers need {needed >> 20} MiB to load it and {available >> 20} MiB are "
            "available; give the host more memory or fewer workers",
        )


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:4])))
