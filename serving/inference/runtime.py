"""Predictor: the exported network of one version, planned ahead for every batch size."""

import itertools
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from overnight.serving.errors import UnfitVersion
from overnight.store.encoding import encode, network_inputs
from overnight.store.novelty import SCORE_OUTPUT, UNLIKE_TRAINING
from overnight.store.novelty_check import NoveltyCheck
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES, TensorSpec

Array = NDArray[np.generic]

# LiteRT plans anew whenever the batch changes, so batches are padded to one of these. A row costs
# no less in larger ones (benchmarks/serving/batching.py), and each holds memory in every worker.
BATCH_SIZES = (1, 2, 4, 8, 16)
LARGEST = BATCH_SIZES[-1]
# Sizes that single requests use have an interpreter for each thread, and so has the largest, into
# which long batches are cut. The sizes between them would cost more memory: one for all threads.
LARGEST_UNSHARED = 4


def interpreters_for(threads: int) -> int:
    """How many interpreters a predictor holds."""
    return sum(_copies(size, threads) for size in BATCH_SIZES)


def rows_for(threads: int) -> int:
    """How many rows all interpreters of a predictor hold together."""
    return sum(size * _copies(size, threads) for size in BATCH_SIZES)


def _copies(size: int, threads: int) -> int:
    return threads if size <= LARGEST_UNSHARED or size == LARGEST else 1


def _no_pause() -> None:
    """For a thread that no request waits for."""


class Predictor:
    """Runs inference for one version; thread-safe, all interpreters are created up front."""

    def __init__(
        self,
        manifest: Manifest,
        network: bytes,
        *,
        threads: int,
        pause: Callable[[], None] = _no_pause,
    ) -> None:
        """Load and plan an interpreter for each thread and batch size, and run each once.

        Planning holds the interpreter lock, so `pause` is called between two interpreters to let
        other threads run.

        Raises:
            UnfitVersion: LiteRT cannot run it, or its tensors are not those of the manifest.
        """
        self.manifest = manifest
        self.inputs = manifest.tensors.inputs
        self.outputs = manifest.tensors.outputs
        # None of a version without a rule for it.
        self.novelty = None if manifest.novelty is None else NoveltyCheck(manifest)
        self._is_encoded = manifest.tensors.is_encoded
        # The inputs of its first golden examples, by name.
        self.examples: Mapping[str, Array] = {}
        self._threads = threads
        self._free: dict[int, queue.SimpleQueue[_PlannedInterpreter]] = {}
        for size in BATCH_SIZES:
            self._free[size] = queue.SimpleQueue()
            for _ in range(_copies(size, threads)):
                self._free[size].put(_PlannedInterpreter(manifest, network, size))
                pause()
        # A thread is started by the first long batch only, and ends with the predictor.
        self._helpers = (
            ThreadPoolExecutor(threads - 1, thread_name_prefix="chunks") if threads > 1 else None
        )

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run n ≥ 1 rows: `inputs` [n, …] by name to the named `outputs`, [n, …] each.

        `inputs` are published values, which are encoded here as the schema of the version says;
        those that have a default may be absent.

        Where the version has a `novelty`, `unlike_training` may be among the outputs: FP64 [n],
        above 1 for rows that are unlike what it learned from. It is left out where no row is.

        Raises:
            UnencodableValue: naming the input, the row, and what was expected.
        """
        if self.novelty is not None and UNLIKE_TRAINING in outputs:
            named = [name for name in outputs if name != UNLIKE_TRAINING]
            answers = self._predict(inputs, [*named, *self.novelty.outputs])
            ratios = self.novelty.score(inputs, answers)
            return answers if ratios is None else answers | {UNLIKE_TRAINING: ratios}
        return self._predict(inputs, outputs)

    def _predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        if self._is_encoded or len(inputs) != len(self.inputs):
            inputs = encode(self.manifest.tensors, inputs)
        n = len(next(iter(inputs.values())))
        if n <= LARGEST:
            return self._chunk(inputs, n, outputs)
        starts = range(0, n, LARGEST)
        chunks: list[dict[str, Array]] = [{} for _ in starts]
        # Threads share this iterator without a lock: `next` of an enumeration is atomic under the
        # interpreter lock.
        places = enumerate(starts)
        futures = [
            self._helpers.submit(self._take_chunks, inputs, places, chunks, outputs)
            for _ in range(min(self._threads, len(starts)) - 1)
            if self._helpers
        ]
        try:
            self._take_chunks(inputs, places, chunks, outputs)
        finally:
            for future in futures:
                # A helper that has not started by now would find no chunk left.
                if not future.cancel():
                    future.result()
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in outputs}

    def close(self) -> None:
        """Free the interpreters, in the calling thread; references to this keep the manifest alone.

        No `predict` may be running, or follow.
        """
        self._free.clear()
        self.examples = {}
        if self._helpers is not None:
            self._helpers.shutdown()

    def _take_chunks(
        self,
        inputs: Mapping[str, Array],
        places: Iterator[tuple[int, int]],
        chunks: list[dict[str, Array]],
        outputs: Sequence[str],
    ) -> None:
        """Run chunk after chunk until none is left."""
        for place, start in places:
            rows = {name: array[start : start + LARGEST] for name, array in inputs.items()}
            n = len(next(iter(rows.values())))
            chunks[place] = self._chunk(rows, n, outputs)

    def _chunk(
        self, inputs: Mapping[str, Array], n: int, outputs: Sequence[str]
    ) -> dict[str, Array]:
        size = next(size for size in BATCH_SIZES if size >= n)
        if size != n:
            inputs = {name: _padded(rows, size) for name, rows in inputs.items()}
        free = self._free[size]
        planned = free.get()  # blocks until another thread returns one
        try:
            answers = planned.run(inputs, outputs)
        finally:
            free.put(planned)
        return answers if size == n else {name: rows[:n] for name, rows in answers.items()}


class _PlannedInterpreter:
    """An interpreter planned for one batch size; for one thread at a time.

    Of rows of varying length it is planned for one length at a time, the greatest at first, and
    anew when another one comes: for each of them an interpreter would hold memory.
    """

    def __init__(self, manifest: Manifest, network: bytes, size: int) -> None:
        self._manifest = manifest
        self._specs = network_inputs(manifest.tensors)
        self._varies = any(spec.lengths for spec in self._specs)
        self._shapes: dict[str, tuple[int, ...]] = {}
        try:
            self._interpreter = Interpreter(model_content=network, num_threads=1)
            self._inputs, self._outputs = self._tensors(manifest)
            # Every length once, so that one that cannot be planned is no surprise for a request.
            for rank in range(max(len(spec.lengths) for spec in self._specs) or 1):
                rows = self._zeros(size, rank)
                self._plan({name: array.shape for name, array in rows.items()})
                self._warm_up(rows, size)
        except (ValueError, RuntimeError) as error:
            raise UnfitVersion(
                manifest.model, manifest.version, f"LiteRT cannot run it: {error}"
            ) from None

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        if self._varies:
            self._plan({name: rows.shape for name, rows in inputs.items()})
        for name, rows in inputs.items():
            self._interpreter.set_tensor(self._inputs[name], rows)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(self._outputs[name]) for name in outputs}

    def _plan(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Plan for inputs of these shapes, unless it is planned for them already."""
        if shapes == self._shapes:
            return
        # Not planned for either, should the next lines fail.
        self._shapes = {}
        for name, shape in shapes.items():
            self._interpreter.resize_tensor_input(self._inputs[name], list(shape), strict=True)
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def _tensors(self, manifest: Manifest) -> tuple[dict[str, int], dict[str, int]]:
        """Index of each declared tensor, by name."""
        # The runner holds references into the interpreter, which must be gone before it is resized.
        runner = self._interpreter.get_signature_runner()
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        _check_declared(manifest, inputs, self._specs, may_have_more=False)
        _check_declared(
            manifest, outputs, (*manifest.tensors.outputs, *_score(manifest)), may_have_more=True
        )
        return _indices(inputs), _indices(outputs)

    def _zeros(self, size: int, rank: int) -> dict[str, Array]:
        """Rows of zeros; where lengths vary, of the one of this rank, the least being 0."""
        zeros: dict[str, Array] = {}
        for spec in self._specs:
            lengths = spec.lengths[min(rank, len(spec.lengths) - 1) :][:1]
            shape = (*lengths, *spec.shape[1:]) if lengths else spec.shape
            zeros[spec.name] = np.zeros((size, *shape), NUMPY_TYPES[spec.datatype])
        return zeros

    def _warm_up(self, rows: Mapping[str, Array], size: int) -> None:
        """Run zeros once, so that no request waits for pages to be read."""
        specs = (*self._manifest.tensors.outputs, *_score(self._manifest))
        answers = self.run(rows, [spec.name for spec in specs])
        for spec in specs:
            if answers[spec.name].shape != (size, *spec.shape):
                raise UnfitVersion(
                    self._manifest.model,
                    self._manifest.version,
                    f"output {spec.name} has shape {answers[spec.name].shape} for {size} rows, "
                    f"expected {(size, *spec.shape)}",
                )


def _score(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The output by which rows are flagged as unlike the learned ones, where there is one."""
    if manifest.novelty is None or manifest.novelty.threshold is None:
        return ()
    return (TensorSpec(name=SCORE_OUTPUT, datatype="FP32", shape=()),)


def _indices(details: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {name: int(tensor["index"]) for name, tensor in details.items()}


def _check_declared(
    manifest: Manifest,
    details: Mapping[str, Mapping[str, Any]],
    specs: Sequence[TensorSpec],
    *,
    may_have_more: bool,
) -> None:
    """Compare the tensors of the network with those that follow from the manifest.

    Raises:
        UnfitVersion: they differ in name or type.
    """
    declared = {spec.name: np.dtype(NUMPY_TYPES[spec.datatype]).name for spec in specs}
    actual = {name: np.dtype(tensor["dtype"]).name for name, tensor in details.items()}
    missing = declared.items() - actual.items()
    # A network may compute more than the version declares, but its inputs must all be known.
    if missing or (not may_have_more and actual.items() - declared.items()):
        raise UnfitVersion(
            manifest.model,
            manifest.version,
            f"the manifest declares the tensors {declared}, the network has {actual}",
        )


def _padded(rows: Array, size: int) -> Array:
    """The rows, followed by repetitions of the last one: zeros could be outside the schema."""
    padding = itertools.repeat(rows[-1:], size - len(rows))
    return np.concatenate([rows, *padding])
