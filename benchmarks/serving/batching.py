"""Claim: padding batches to at most 16 rows and not gathering requests is the cheapest choice.

    python benchmarks/serving/batching.py [NETWORK …]

Justifies three choices of `serving/inference/runtime.py`: batches are padded to sizes of at most
16, as a row costs no less in larger ones; long batches are cut into chunks that several threads
take, since LiteRT releases the GIL; and requests of different clients are not
gathered into one batch, as that pays only where a row costs much less among others. A network is
shown for which it would: wide dense layers, whose weights are read once for all rows of a batch. It
is made here by TensorFlow, and so is the classic convolutional one. Every NETWORK named is measured
too.
"""

import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from ai_edge_litert.interpreter import Interpreter

from overnight.serving.inference.runtime import Predictor
from overnight.store.schema import Schema
from tests.support.serving import bundles

ROWS, LONG, ROUNDS = (1, 2, 4, 8, 16, 32, 64), (256, 1_024), 7
IMAGES = np.random.default_rng(1).integers(0, 256, (1_024, 28, 28), dtype=np.uint8)
# In one round each size answers so many rows.
ROUND_ROWS = 256


def networks() -> Iterator[tuple[str, bytes]]:
    """By name: those that were named, the classic one, and one of wide dense layers."""
    for path in map(Path, sys.argv[1:]):
        yield path.name, path.read_bytes()
    import keras

    layers = keras.layers
    image = keras.Input((28, 28), dtype="uint8", name="image")
    unit = layers.Rescaling(1 / 255)(image)
    x = layers.Reshape((28, 28, 1))(unit)
    for width in (32, 64):
        x = layers.Conv2D(width, 3, activation="relu")(x)
    classic = layers.Dense(128, activation="relu")(layers.Flatten()(layers.MaxPooling2D(2)(x)))
    wide = layers.Flatten()(unit)
    for _ in range(3):
        wide = layers.Dense(2_048, activation="relu")(wide)
    for name, body in (("classic", classic), ("wide dense", wide)):
        answer = layers.Dense(10, activation="softmax")(body)
        network = keras.Model(image, {"probabilities": answer})
        yield f"{name}, int8", _converted(network, compress=True)
        yield f"{name}, float", _converted(network, compress=False)


def _converted(network: object, *, compress: bool) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if compress:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with redirect_stdout(io.StringIO()):
        return bytes(converter.convert())


def planned(network: bytes, rows: int) -> Callable[[], None]:
    """One interpreter for one batch size."""
    interpreter = Interpreter(model_content=network, num_threads=1)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, [rows, 28, 28])
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, IMAGES[:rows])
    interpreter.invoke()
    return interpreter.invoke


def row_costs(network: bytes) -> dict[int, float]:
    """CPU microseconds of a row, by the size of its batch; the quietest of interleaved rounds."""
    runs, best = {rows: planned(network, rows) for rows in ROWS}, dict.fromkeys(ROWS, np.inf)
    for _ in range(ROUNDS):
        for rows, run in runs.items():
            began = time.thread_time()
            for _ in range(ROUND_ROWS // rows):
                run()
            best[rows] = min(best[rows], (time.thread_time() - began) / ROUND_ROWS * 1e6)
    return best


def speed_up(network: bytes, rows: int) -> tuple[float, float]:
    """Milliseconds of a long batch by one thread, and how much faster two are, of paired rounds."""
    tensors = bundles.TENSORS
    answer = Schema(inputs=tensors.inputs, outputs=tensors.outputs[:1], labels=tensors.labels)
    manifest = bundles.manifest(1, {"predictor.tflite": network}, tensors=answer)
    one_thread, two_threads = (Predictor(manifest, network, threads=threads) for threads in (1, 2))

    def took(predictor: Predictor) -> float:
        began = time.perf_counter()
        predictor.predict({"image": IMAGES[:rows]}, ["probabilities"])
        return (time.perf_counter() - began) * 1e3

    pairs = [(took(one_thread), took(two_threads)) for _ in range(ROUNDS)]
    alone = min(first for first, _ in pairs)
    return alone, statistics.median(first / second for first, second in pairs)


def main() -> None:
    measured_networks = list(networks())
    print("CPU µs of a row in a batch of" + "".join(f"{rows:>9}" for rows in ROWS))
    for name, network in measured_networks:
        costs = row_costs(network)
        print(f"{name:29}" + "".join(f"{cost:9.1f}" for cost in costs.values()))
    for name, network in measured_networks:
        for rows in LONG:
            alone, faster = speed_up(network, rows)
            print(
                f"{name}: {rows} rows {alone:.1f} ms by one thread, {faster:.2f} x as fast by two"
            )


if __name__ == "__main__":
    main()
