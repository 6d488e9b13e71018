"""Makes predictor.tflite beside it: `python tests/goldens/tiny/make.py` (needs the training extra).

A network of 28x10 weights that shares the tensors of `digits`. Its first bias is MARK, a float that
stands nowhere else in the file, so that tests can make versions that answer recognisably otherwise
by replacing four bytes.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

MARK = np.float32(0.123456)


def main() -> None:
    weights = np.random.default_rng(7).normal(0, 0.02, (28, 10)).astype(np.float32)
    bias = np.zeros(10, np.float32)
    bias[0] = MARK

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.uint8, name="image")])
    def answer(image: tf.Tensor) -> dict[str, tf.Tensor]:
        ink = tf.cast(image, tf.float32)
        logits = tf.matmul(tf.reduce_mean(ink, axis=1), weights) + bias
        return {
            "probabilities": tf.nn.softmax(logits),
            "seen": tf.cast(tf.floor(ink * 0.5), tf.uint8),
        }

    module = tf.Module()
    module.answer = answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], module
    )
    body = converter.convert()
    if body.count(MARK.tobytes()) != 1:
        raise SystemExit("the mark must stand exactly once in the file; change it")
    Path(__file__).with_name("predictor.tflite").write_bytes(body)


if __name__ == "__main__":
    main()
