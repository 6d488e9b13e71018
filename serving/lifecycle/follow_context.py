"""Context in which a host follows its models: the store, the disk, the keys and the limits."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overnight.serving.lifecycle.disk_cache import DiskCache
from overnight.serving.lifecycle.load_notes import LoadNotes
from overnight.serving.lifecycle.memory_budget import MemoryBudget
from overnight.serving.lifecycle.probe import Probe
from overnight.store.objects.bucket import Bucket
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import Trust


@dataclass(frozen=True)
class FollowContext:
    """What all watchers of this host share.

    `workers` is the folder of the workers' reports, `replica` the name of the host in the store;
    `signer` signs what the host writes about challengers.
    """

    bucket: Bucket
    cache: DiskCache
    probe: Probe
    load_notes: LoadNotes
    workers: Path
    replica: str
    poll_seconds: float
    memory_budget: MemoryBudget
    trust: Trust
    signer: Callable[[], Signer] | None = None
    clock: Callable[[], float] = time.monotonic
