"""Makes predictor.tflite beside it, which needs the training extra.

A model of colour pictures of 8 x 12 pixels with two outputs: the mean of each colour, and the
pixels themselves in one vector.
"""

from pathlib import Path

import tensorflow as tf


def main() -> None:
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 12, 3), tf.uint8, name="photo")])
    def answer(photo: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.cast(photo, tf.float32)
        return {
            "colour": tf.reduce_mean(pixels, axis=(1, 2)),
            "embedding": tf.reshape(pixels, (-1, 8 * 12 * 3)),
        }

    module = tf.Module()
    module.answer = answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], module
    )
    Path(__file__).with_name("predictor.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
