"""A predictor: the exported network of one version, ready to answer without planning anything."""

import itertools
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from overnight.serving.errors import UnfitVersion
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES, TensorSpec

Array = NDArray[np.generic]

# LiteRT plans anew whenever the batch changes, so batches are padded to one of these. A row costs
# no less in larger ones (benchmarks/serving/batching.py), and each holds memory in every worker.
BATCH_SIZES = (1, 2, 4, 8, 16)
LARGEST = BATCH_SIZES[-1]
# Sizes that single requests use have an interpreter for each thread, and so has the largest, into
# which long batches are cut. Of those between, which cost memory, there is one each.
LARGEST_SHARED_BY_NONE = 4


def interpreters_for(threads: int) -> int:
    """How many interpreters a predictor holds."""
    return sum(_copies(size, threads) for size in BATCH_SIZES)


def rows_for(threads: int) -> int:
    """How many rows all interpreters of a predictor hold together."""
    return sum(size * _copies(size, threads) for size in BATCH_SIZES)


def _copies(size: int, threads: int) -> int:
    return threads if size <= LARGEST_SHARED_BY_NONE or size == LARGEST else 1


def _nothing() -> None:
    """Between two interpreters, where nobody waits for this thread."""


class Predictor:
    """Answers for one version; safe to share between threads, all interpreters made up front."""

    def __init__(
        self,
        manifest: Manifest,
        network: bytes,
        *,
        threads: int,
        pause: Callable[[], None] = _nothing,
    ) -> None:
        """Load and plan an interpreter for each thread and batch size, and run each once.

        Planning holds up all other threads of the process; between two interpreters `pause` lets
        them go on.

        Raises:
            UnfitVersion: LiteRT cannot run it, or its tensors are not those of the manifest.
        """
        self.manifest = manifest
        self.inputs = manifest.tensors.inputs
        self.outputs = manifest.tensors.outputs
        # Rows that it has answered in training already, by input: something to ask it with.
        self.examples: Mapping[str, Array] = {}
        self._threads = threads
        self._free: dict[int, queue.SimpleQueue[_Planned]] = {}
        for size in BATCH_SIZES:
            self._free[size] = queue.SimpleQueue()
            for _ in range(_copies(size, threads)):
                self._free[size].put(_Planned(manifest, network, size))
                pause()
        # A thread is started by the first long batch only, and ends with the predictor.
        self._helpers = (
            ThreadPoolExecutor(threads - 1, thread_name_prefix="chunks") if threads > 1 else None
        )

    def answer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Answer n ≥ 1 rows: `inputs` [n, …] by name to the `wanted` outputs, [n, …] each."""
        n = len(next(iter(inputs.values())))
        if n <= LARGEST:
            return self._chunk(inputs, n, wanted)
        starts = range(0, n, LARGEST)
        chunks: list[dict[str, Array]] = [{} for _ in starts]
        # Whoever is free takes the next; `next` of an enumeration is one step for all threads.
        places = enumerate(starts)
        helping = [
            self._helpers.submit(self._take_chunks, inputs, places, chunks, wanted)
            for _ in range(min(self._threads, len(starts)) - 1)
            if self._helpers
        ]
        try:
            self._take_chunks(inputs, places, chunks, wanted)
        finally:
            for help_ in helping:
                # One that has not begun by now finds nothing to do any more.
                if not help_.cancel():
                    help_.result()
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in wanted}

    def close(self) -> None:
        """Free the interpreters, in the thread that calls this; whoever still refers to this
        keeps the manifest alone. It must not be answering, nor be asked ever again.
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
        wanted: Sequence[str],
    ) -> None:
        """Answer chunk after chunk until none is left."""
        for place, start in places:
            rows = {name: array[start : start + LARGEST] for name, array in inputs.items()}
            n = len(next(iter(rows.values())))
            chunks[place] = self._chunk(rows, n, wanted)

    def _chunk(
        self, inputs: Mapping[str, Array], n: int, wanted: Sequence[str]
    ) -> dict[str, Array]:
        size = next(size for size in BATCH_SIZES if size >= n)
        if size != n:
            inputs = {name: _padded(rows, size) for name, rows in inputs.items()}
        free = self._free[size]
        planned = free.get()
        try:
            answers = planned.run(inputs, wanted)
        finally:
            free.put(planned)
        return answers if size == n else {name: rows[:n] for name, rows in answers.items()}


class _Planned:
    """One interpreter, planned for one batch size; for one thread at a time."""

    def __init__(self, manifest: Manifest, network: bytes, size: int) -> None:
        try:
            self._interpreter = Interpreter(model_content=network, num_threads=1)
            self._inputs, self._outputs = self._tensors(manifest)
            for spec in manifest.tensors.inputs:
                self._interpreter.resize_tensor_input(
                    self._inputs[spec.name], [size, *spec.shape], strict=True
                )
            self._interpreter.allocate_tensors()
            self._try(manifest, size)
        except (ValueError, RuntimeError) as error:
            raise UnfitVersion(
                manifest.model, manifest.version, f"LiteRT cannot run it: {error}"
            ) from None

    def run(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        for name, rows in inputs.items():
            self._interpreter.set_tensor(self._inputs[name], rows)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(self._outputs[name]) for name in wanted}

    def _tensors(self, manifest: Manifest) -> tuple[dict[str, int], dict[str, int]]:
        """Where each declared tensor is; the runner must be gone before anything is resized."""
        runner = self._interpreter.get_signature_runner()
        found = runner.get_input_details(), runner.get_output_details()
        declared = manifest.tensors.inputs, manifest.tensors.outputs
        for details, specs in zip(found, declared, strict=True):
            _compare(manifest, details, specs)
        inputs, outputs = ({name: int(one["index"]) for name, one in d.items()} for d in found)
        return inputs, outputs

    def _try(self, manifest: Manifest, size: int) -> None:
        """Answer zeros once, so that the first request finds everything paged in."""
        specs = manifest.tensors
        zeros = {
            spec.name: np.zeros((size, *spec.shape), NUMPY_TYPES[spec.datatype])
            for spec in specs.inputs
        }
        answers = self.run(zeros, [spec.name for spec in specs.outputs])
        for spec in specs.outputs:
            if answers[spec.name].shape != (size, *spec.shape):
                raise UnfitVersion(
                    manifest.model,
                    manifest.version,
                    f"output {spec.name} has shape {answers[spec.name].shape} for {size} rows, "
                    f"expected {(size, *spec.shape)}",
                )


def _compare(
    manifest: Manifest, found: Mapping[str, Mapping[str, Any]], specs: Sequence[TensorSpec]
) -> None:
    """Hold the tensors LiteRT found against those the manifest declares."""
    is_declared = {spec.name: np.dtype(NUMPY_TYPES[spec.datatype]).name for spec in specs}
    is_found = {name: np.dtype(details["dtype"]).name for name, details in found.items()}
    # A network may compute more than the version declares, but its inputs must all be known.
    missing = dict(is_declared.items() - is_found.items())
    surplus = (
        {} if specs is manifest.tensors.outputs else dict(is_found.items() - is_declared.items())
    )
    if missing or surplus:
        raise UnfitVersion(
            manifest.model,
            manifest.version,
            f"the manifest declares the tensors {is_declared}, the network has {is_found}",
        )


def _padded(rows: Array, size: int) -> Array:
    """The rows, followed by repetitions of the last one: zeros could be outside the schema."""
    padding = itertools.repeat(rows[-1:], size - len(rows))
    return np.concatenate([rows, *padding])
