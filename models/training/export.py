"""Export of a trained Keras network to the files of a bundle, and inference with both.

Imported by networks only, in the training process: it imports TensorFlow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from overnight.models.examples import Array, Outputs
from overnight.store.registry.manifest import Exported

SUFFICIENT_AGREEMENT = 0.999
# The predictor re-plans when the batch size changes, and keeps memory for the largest.
PREDICTOR_ROWS = 256

# Which rows two sets of outputs answer alike: [n].
Alike = Callable[[Outputs, Outputs], NDArray[np.bool_]]


def export(
    network: keras.Model,
    sample: Mapping[str, Array],
    *,
    alike: Alike | Mapping[str, Alike],
    served: keras.Model | None = None,
) -> dict[str, bytes]:
    """Turn a network into `network.keras`, `predictor.tflite`, and `exported.json`.

    The predictor runs in LiteRT with built-in operators only, at any batch size; its signature has
    the names of the network's inputs and outputs. Its weights are int8 when at least 99.9 % of the
    answers to the sample are alike, and float32 otherwise. With `alike` by output, that many
    answers of each output must be. `served` is what the predictor is made of, where it computes
    more than the network: it has the inputs and outputs of that, and further outputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        network.save(path)
        saved = path.read_bytes()
        graph = Path(folder) / "graph"
        _write_graph(served or network, graph)
        # int8 first: most networks keep their answers, and serve in a quarter of the memory.
        predictor = _converted(graph, compress=True)
        trained, exported = predict(network, sample), run_predictor(predictor, sample)
        by_output = alike if isinstance(alike, Mapping) else {"": alike}
        agreements = {
            output: float(same(trained, exported).mean()) for output, same in by_output.items()
        }
        agreement = min(agreements.values())
        is_sufficient = agreement >= SUFFICIENT_AGREEMENT
        if not is_sufficient:
            predictor = _converted(graph, compress=False)
    measured = Exported(
        weights="int8" if is_sufficient else "float32",
        agreement=agreement,
        rows=len(next(iter(sample.values()))),
        sufficient=SUFFICIENT_AGREEMENT,
        outputs=agreements if len(agreements) > 1 else {},
    )
    return {
        "network.keras": saved,
        "predictor.tflite": predictor,
        "exported.json": measured.model_dump_json().encode(),
    }


def _write_graph(network: keras.Model, folder: Path) -> None:
    """Write a SavedModel for the converter, which by itself loses the names of several inputs."""
    named = {
        tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name)
        for tensor in network.inputs
    }
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "serve", partial(network.__call__, training=False), [_keras_inputs(network, named)]
    )
    archive.write_out(folder, verbose=False)


def _converted(graph: Path, *, compress: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(graph))
    if compress:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def predict(
    network: keras.Model, inputs: Mapping[str, Array], batch_rows: int = 512
) -> dict[str, NDArray[Any]]:
    """Outputs of a network by name, for inputs by name, n rows each."""
    answers: dict[str, NDArray[Any]] = network.predict(
        _keras_inputs(network, inputs), batch_size=batch_rows, verbose=0
    )
    return answers


def _keras_inputs(network: keras.Model, named: Mapping[str, Any]) -> Any:
    """Inputs in the form that the network was built for: a mapping, or its only input."""
    names = [tensor.name for tensor in network.inputs]
    together = isinstance(network.input, Mapping)
    return {name: named[name] for name in names} if together else named[names[0]]


def run_predictor(predictor: bytes, inputs: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
    """As `predict`, but with an exported predictor, on one thread of LiteRT."""
    runner = Interpreter(model_content=predictor, num_threads=1).get_signature_runner()
    names = list(runner.get_input_details())
    starts = range(0, len(inputs[names[0]]), PREDICTOR_ROWS)
    parts = [
        runner(**{name: inputs[name][start : start + PREDICTOR_ROWS] for name in names})
        for start in starts
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load(path: Path) -> keras.Model:
    """Load a verified `network.keras` in safe mode: code in the file is refused."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def continue_from(network: keras.Model, start: Path) -> None:
    """Set a network's weights to those of an earlier one of the same architecture.

    Raises:
        ValueError: the architectures differ.
    """
    weights = load(start).get_weights()
    shapes = [weight.shape for weight in network.get_weights()]
    if [weight.shape for weight in weights] != shapes:
        raise ValueError(
            f"{start} was built otherwise than networks are built now, so its weights do not fit; "
            "train afresh once"
        )
    network.set_weights(weights)
