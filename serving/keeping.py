"""Which versions stay loaded: those that served lately, as far as there is room for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving import memory
from serving.predictor import interpreters_for, rows_for
from store.manifest import Manifest
from store.schema import NUMPY_TYPES

NETWORK = "predictor.tflite"
DEFAULT_BYTES = 64_000_000


@dataclass(frozen=True)
class Room:
    """What a worker may hold in memory besides the versions that answer now."""

    threads: int
    budget_bytes: int = DEFAULT_BYTES

    def takes_bytes(self, manifest: Manifest) -> int:
        """A cautious estimate of what one version takes in one worker."""
        return memory.needed_bytes(
            manifest.files[NETWORK].size_bytes,
            interpreters_for(self.threads),
            tensor_bytes=rows_for(self.threads) * _row_bytes(manifest),
        )

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
