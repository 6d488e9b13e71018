"""Runs the network of a version on long batches: LiteRT, at the batch size that is best for it."""

import io
import math
import queue
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from overnight.store.encoding import encode, network_inputs
from overnight.store.encoding.arrays import unpacked
from overnight.store.errors import CorruptVersion, UnencodableValue
from overnight.store.novelty import SCORE_OUTPUT, UNLIKE_TRAINING
from overnight.store.novelty_check import NoveltyCheck, Reason
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES, TensorSpec

Array = NDArray[Any]
# LiteRT is timed with each of them; serving goes to 16, because it holds many interpreters.
BATCH_SIZES = (16, 64, 256, 1_024)
# What the inputs and outputs of one batch may take.
_BATCH_BYTES = 64_000_000
_TIMED_SECONDS = 0.01
_TIMED_RUNS = 3
# A larger batch that is hardly faster is not worth its memory.
_WORTH = 0.97
# As serving compares golden examples: processors round differently.
_TOLERANCE, _RELATIVE_TOLERANCE = 0.02, 1e-3


class BatchPredictor:
    """The predictor of one version, with an interpreter for each thread; `predict` may be shared.

    `batch_rows` is its batch size: measured when it is made, unless given.
    """

    def __init__(
        self, manifest: Manifest, network: bytes, *, threads: int = 1, batch_rows: int | None = None
    ) -> None:
        """Load the network.

        Raises:
            CorruptVersion: LiteRT cannot run it, or its tensors are not those of the manifest.
        """
        self.manifest = manifest
        self.novelty = None if manifest.novelty is None else NoveltyCheck(manifest)
        self._free: queue.SimpleQueue[_Interpreter] = queue.SimpleQueue()
        try:
            first = _Interpreter(manifest, network)
            self.batch_rows = batch_rows or _best_size(first)
            self._free.put(first)
            for _ in range(threads - 1):
                self._free.put(_Interpreter(manifest, network))
        except (ValueError, RuntimeError) as error:
            raise CorruptVersion(
                f"{manifest.model} {manifest.version} predictor.tflite",
                expected="a network that LiteRT runs",
                found=f"{error}"[:200],
            ) from None

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run n ≥ 1 rows of published values: `inputs` [n, …] by name to `outputs`, [n, …] each.

        Where the version has a rule for it and a row is unlike what it learned from, the answers
        have `unlike_training` too: FP64 [n], above 1 for such rows.

        Raises:
            UnencodableValue: naming the input and the row.
        """
        if self.novelty is None:
            return self._predict(inputs, outputs)
        answers = self._predict(inputs, [*outputs, *self.novelty.outputs])
        ratios = self.novelty.score(inputs, answers)
        return answers if ratios is None else answers | {UNLIKE_TRAINING: ratios}

    def unlike_reasons(self, inputs: Mapping[str, Array], ratios: Array | None) -> list[Reason]:
        """Why rows are unlike what the version learned from, by the `unlike_training` of answers.

        None of them has any where `ratios` is None.
        """
        if self.novelty is None or ratios is None:
            return []
        return self.novelty.reasons(inputs, ratios, most=None)

    def _predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        n = len(next(iter(inputs.values())))
        specs = {spec.name: spec for spec in _network_outputs(self.manifest)}
        whole = {
            name: np.empty((n, *specs[name].shape), NUMPY_TYPES[specs[name].datatype])
            for name in outputs
        }
        interpreter = self._free.get()
        try:
            for start in range(0, n, self.batch_rows):
                part = {
                    name: rows[start : start + self.batch_rows] for name, rows in inputs.items()
                }
                try:
                    encoded = encode(self.manifest.tensors, part)
                except UnencodableValue as error:
                    row = None if error.row is None else error.row + start
                    raise UnencodableValue(error.tensor, row, error.why) from None
                interpreter.run(
                    encoded, self.batch_rows, {name: rows[start:] for name, rows in whole.items()}
                )
        finally:
            self._free.put(interpreter)
        return whole

    def check_golden(self, golden: bytes) -> None:
        """Check that it answers the golden examples of its version as training did.

        Raises:
            CorruptVersion: naming the output that differs.
        """
        with np.load(io.BytesIO(golden), allow_pickle=False) as file:
            arrays = unpacked({name: file[name] for name in file.files})
        inputs = {
            spec.name: arrays[f"input.{spec.name}"]
            for spec in self.manifest.tensors.inputs
            if f"input.{spec.name}" in arrays
        }
        specs = [s for s in self.manifest.tensors.outputs if f"output.{s.name}" in arrays]
        answers = self.predict(inputs, [spec.name for spec in specs])
        for spec in specs:
            expected = arrays[f"output.{spec.name}"].astype(np.float64)
            actual = answers[spec.name].astype(np.float64)
            if spec.datatype.startswith("FP"):
                same = np.isclose(actual, expected, atol=_TOLERANCE, rtol=_RELATIVE_TOLERANCE)
            else:
                same = np.abs(actual - expected) <= (0 if spec.exact else 1)
            if not same.all():
                raise CorruptVersion(
                    f"{self.manifest.model} {self.manifest.version}",
                    expected=f"the {spec.name} of training for its golden examples",
                    found=f"others for {int((~same).reshape(len(same), -1).any(axis=1).sum())}",
                )


class _Interpreter:
    """An interpreter, planned anew when a batch has another shape; for one thread at a time."""

    def __init__(self, manifest: Manifest, network: bytes) -> None:
        self.specs = network_inputs(manifest.tensors)
        self.outputs = _network_outputs(manifest)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._interpreter = Interpreter(model_content=network, num_threads=1)
        # The runner holds references into the interpreter, which must be gone before it is resized.
        runner = self._interpreter.get_signature_runner()
        self._inputs = {n: int(t["index"]) for n, t in runner.get_input_details().items()}
        self._outputs = {n: int(t["index"]) for n, t in runner.get_output_details().items()}
        del runner
        declared = {spec.name for spec in self.specs}
        if declared != self._inputs.keys():
            raise ValueError(f"its inputs are {sorted(self._inputs)}, declared {sorted(declared)}")
        if missing := {spec.name for spec in self.outputs} - self._outputs.keys():
            raise ValueError(f"it has no output {', '.join(sorted(missing))}")

    @property
    def row_bytes(self) -> int:
        """What one row of all tensors takes."""
        return sum(
            math.prod(spec.shape) * np.dtype(NUMPY_TYPES[spec.datatype]).itemsize
            for spec in (*self.specs, *self.outputs)
        )

    def run(self, rows: Mapping[str, Array], size: int, into: Mapping[str, Array]) -> None:
        """Answer at most `size` rows, into the beginning of the arrays of the wanted outputs."""
        n = len(next(iter(rows.values())))
        if n < size:
            # Repeated, because zeros could be outside the schema.
            places = np.minimum(np.arange(size), n - 1)
            rows = {name: array[places] for name, array in rows.items()}
        self._plan({name: array.shape for name, array in rows.items()})
        for name, array in rows.items():
            self._interpreter.set_tensor(self._inputs[name], array)
        self._interpreter.invoke()
        for name, array in into.items():
            # A view, which is copied once and gone before the next batch.
            array[:n] = self._interpreter.tensor(self._outputs[name])()[:n]

    def time(self, size: int) -> float:
        """CPU seconds a row at a batch size."""
        rows = {
            spec.name: np.zeros((size, *spec.shape), NUMPY_TYPES[spec.datatype])
            for spec in self.specs
        }
        self.run(rows, size, {})
        best = math.inf
        for _ in range(_TIMED_RUNS):
            # Of this thread: another process may have the core meanwhile.
            runs, begun = 0, time.thread_time()
            while (passed := time.thread_time() - begun) < _TIMED_SECONDS or not runs:
                self.run(rows, size, {})
                runs += 1
            best = min(best, passed / (runs * size))
        return best

    def _plan(self, shapes: dict[str, tuple[int, ...]]) -> None:
        if shapes == self._shapes:
            return
        # Not planned for either, should the next lines fail.
        self._shapes = {}
        for name, shape in shapes.items():
            self._interpreter.resize_tensor_input(self._inputs[name], list(shape), strict=True)
        self._interpreter.allocate_tensors()
        self._shapes = shapes


def _network_outputs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The outputs of a network: those that are published, and the score of its rule."""
    rule = manifest.novelty
    if rule is None or rule.threshold is None:
        return manifest.tensors.outputs
    return (*manifest.tensors.outputs, TensorSpec(name=SCORE_OUTPUT, datatype="FP32", shape=()))


def _best_size(interpreter: _Interpreter) -> int:
    """The smallest batch size at which a row costs about as little as at any."""
    largest = max(1, _BATCH_BYTES // max(1, interpreter.row_bytes))
    sizes = [size for size in BATCH_SIZES if size <= largest] or [largest]
    best, best_seconds = sizes[0], interpreter.time(sizes[0])
    for size in sizes[1:]:
        seconds = interpreter.time(size)
        if seconds > best_seconds / _WORTH:
            # The caches are exceeded; a larger one exceeds them more.
            break
        if seconds < _WORTH * best_seconds:
            best, best_seconds = size, seconds
    return best
