"""A version as it is loaded in this process, under the number that this host gave it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.predictor import Array, Predictor
from store.aliases import AliasRecord
from store.manifest import Manifest


@dataclass
class Loaded:
    """One generation in this process."""

    generation: int
    predictor: Predictor
    record: AliasRecord | None
    leases: int = 0

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    @property
    def version(self) -> str:
        return self.predictor.manifest.version

    def answer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Answer n ≥ 1 rows: `inputs` [n, …] by name to the `wanted` outputs, [n, …] each."""
        return self.predictor.answer(inputs, wanted)
