"""Makes predictor.tflite beside it: `python tests/goldens/greedy/make.py` (needs TensorFlow).

A network with the tensors of `digits`, small as a file, whose arena takes SIDE x SIDE floats a row,
which nothing in a manifest tells: 160 MB with one thread.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

SIDE = 40 * 28


def main() -> None:
    weights = np.random.default_rng(7).normal(0, 0.02, (28, 10)).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.uint8, name="image")])
    def answer(image: tf.Tensor) -> dict[str, tf.Tensor]:
        ink = tf.cast(image, tf.float32)
        wide = tf.tile(ink, [1, SIDE // 28, SIDE // 28]) * 0.5
        logits = tf.matmul(tf.reduce_mean(wide, axis=1)[:, :28], weights)
        return {
            "probabilities": tf.nn.softmax(logits),
            "seen": tf.cast(tf.floor(ink * 0.5), tf.uint8),
        }

    module = tf.Module()
    module.answer = answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], module
    )
    Path(__file__).with_name("predictor.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
