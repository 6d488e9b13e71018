"""What the request path records of an answer: references, which another thread encodes."""

from collections.abc import Mapping, Sequence

from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array, Predictor
from overnight.store.predictions.records import Route
from overnight.store.registry.manifest import Manifest

# Manifest of the version, route, request id, the caller's own id, client, when it was answered, how
# many seconds the answer needed, inputs [n, …] and outputs [n, …] by name, and the bytes that it
# holds. A tuple, because anything with names is four times as slow to make.
QueuedAnswer = tuple[
    Manifest, Route, str, str, str, float, float, Mapping[str, Array], Mapping[str, Array], int
]


class LoggedVersion:
    """A version for one request, which keeps the published inputs and the outputs of its call.

    `inputs` is None until it was called.
    """

    __slots__ = ("_loaded", "ignored", "inputs", "manifest", "outputs", "predictor", "version")

    def __init__(self, loaded: ModelVersion, manifest: Manifest) -> None:
        self._loaded, self.manifest = loaded, manifest
        self.predictor: Predictor = loaded.predictor
        self.version: str = manifest.version
        self.ignored: frozenset[str] = loaded.ignored
        self.inputs: Mapping[str, Array] | None = None
        self.outputs: Mapping[str, Array] = {}

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Answer as the version itself does."""
        answers = self._loaded.predict(inputs, outputs)
        self.inputs, self.outputs = inputs, answers
        return answers
