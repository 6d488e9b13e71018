"""A version as it is loaded in this process, under the number that this host gave it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from serving import golden
from serving.predictor import Array, Predictor
from store.aliases import AliasRecord
from store.manifest import Manifest

# Long enough for a request that waits for the interpreter lock to get it.
PAUSE_SECONDS = 0.001


class ModelVersion(Protocol):
    """A version as a request sees it: what it takes and answers, and nothing of its life."""

    @property
    def predictor(self) -> Predictor:
        """For its tensors; it is asked through `answer`."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def version(self) -> str: ...

    def answer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Answer n ≥ 1 rows: `inputs` [n, …] by name to the `wanted` outputs, [n, …] each."""


@dataclass
class Loaded:
    """One generation in this process."""

    generation: int
    predictor: Predictor
    record: AliasRecord | None
    # Requests that are answered by it, counted under the lock of its slot.
    leases: int = 0
    # The lease of the comparing thread, which must not take that lock: it runs at a low priority,
    # and while it held the lock unscheduled, every request would wait. So each of these has one
    # writer, and each writer looks at the other's after it wrote its own: the comparing thread
    # takes no version that is retired, and the loader closes none that is compared.
    is_compared: bool = False
    is_retired: bool = False

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    @property
    def version(self) -> str:
        return self.predictor.manifest.version

    def answer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Answer n ≥ 1 rows: `inputs` [n, …] by name to the `wanted` outputs, [n, …] each."""
        return self.predictor.answer(inputs, wanted)


def open_bundle(manifest: Manifest, files: dict[str, bytes], *, threads: int) -> Predictor:
    """Load and warm a verified bundle, and have it answer its golden examples if it has any.

    Raises:
        UnfitVersion: it cannot run here, or answers otherwise than in training.
    """
    predictor = Predictor(manifest, files["predictor.tflite"], threads=threads, pause=_let_on)
    if golden.FILE in files:
        predictor.examples = golden.check(predictor, files[golden.FILE])
    return predictor


def _let_on() -> None:
    time.sleep(PAUSE_SECONDS)
