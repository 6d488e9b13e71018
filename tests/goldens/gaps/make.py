"""Makes predictor.tflite beside it, which needs the training extra.

A model with a nullable input: units sold = 2 x price, and 1 where the price is missing.
"""

from pathlib import Path

import tensorflow as tf


def main() -> None:
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="price")])
    def answer(price: tf.Tensor) -> dict[str, tf.Tensor]:
        # Only a missing value differs from itself, and this is an operator of LiteRT's own.
        units = tf.where(price == price, 2 * price, tf.ones_like(price))  # noqa: PLR0124
        return {"units": tf.reshape(units, (-1, 1))}

    module = tf.Module()
    module.answer = answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], module
    )
    Path(__file__).with_name("predictor.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
