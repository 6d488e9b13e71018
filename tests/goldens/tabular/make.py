"""Makes predictor.tflite beside it, which needs the training extra.

A model that is not asked by drawing: units sold = 2 x price + 3 if promoted + the sum of the week.
"""

from pathlib import Path

import tensorflow as tf


def main() -> None:
    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.float32, name="price"),
            tf.TensorSpec((None,), tf.bool, name="promoted"),
            tf.TensorSpec((None, 3), tf.int32, name="week"),
        ]
    )
    def answer(price: tf.Tensor, promoted: tf.Tensor, week: tf.Tensor) -> dict[str, tf.Tensor]:
        sold = tf.cast(tf.reduce_sum(week, axis=1), tf.float32)
        units = 2 * price + 3 * tf.cast(promoted, tf.float32) + sold
        return {"units": tf.reshape(units, (-1, 1))}

    module = tf.Module()
    module.answer = answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], module
    )
    Path(__file__).with_name("predictor.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
