"""What the request path records of an answer: references, which another thread encodes."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array, Predictor
from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.predictions.records import Route
from overnight.store.registry.manifest import Manifest

# Request id, the caller's own id, client, route, when it was answered, and how many seconds the
# answer needed. A tuple, because anything with names is four times as slow to make.
Details = tuple[str, str, str, Route, float, float]

# An answer that waits as it is: the manifest of the version, its details, inputs [n, …] and
# outputs [n, …] by name, and the bytes that all of it holds.
QueuedAnswer = tuple[
    Manifest,
    str,
    str,
    str,
    Route,
    float,
    float,
    Mapping[str, Array],
    Mapping[str, Array],
    int,
]


class LoggedVersion:
    """A version for one request, which keeps the published inputs and the outputs of its call.

    `inputs` is None until it was called; only then there are `outputs`. `unlike` is how unlike the
    learned rows each row is, [n], None where none is.
    """

    __slots__ = ("_predict", "ignored", "inputs", "outputs", "predictor", "unlike")

    def __init__(self, loaded: ModelVersion) -> None:
        self._predict, self.ignored = loaded.predict, loaded.ignored
        self.predictor: Predictor = loaded.predictor
        self.inputs: Mapping[str, Array] | None = None
        self.unlike: NDArray[Any] | None = None

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    @property
    def outputs_to_record(self) -> Mapping[str, Array]:
        """The outputs, and which rows are unlike the learned ones where any is: BOOL [n]."""
        if self.unlike is None:
            return self.outputs
        return self.outputs | {UNLIKE_TRAINING: self.unlike > 1}

    @property
    def version(self) -> str:
        return self.predictor.manifest.version

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Answer as the version itself does."""
        self.outputs = answers = self._predict(inputs, outputs)
        self.inputs = inputs
        self.unlike = answers.get(UNLIKE_TRAINING)
        return answers
