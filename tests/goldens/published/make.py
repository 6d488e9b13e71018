"""Makes predictor.tflite beside it, which needs the training extra.

A model of a text, a number with gaps, a category, a list of varying length and a later input. It
answers with what it was sent: the sum of the text's numbers, the price, whether that was missing,
the number of the shop, the sum of the clicks, the length that they were padded to, and the weight.
"""

from pathlib import Path

import tensorflow as tf

_INPUTS = [
    tf.TensorSpec((None, 4), tf.int32, name="title"),
    tf.TensorSpec((None,), tf.float32, name="price"),
    tf.TensorSpec((None,), tf.uint8, name="price_missing"),
    tf.TensorSpec((None,), tf.int32, name="shop"),
    tf.TensorSpec((None, None), tf.float32, name="clicks"),
    tf.TensorSpec((None,), tf.int32, name="clicks_length"),
    tf.TensorSpec((None,), tf.float32, name="weight"),
]


def main() -> None:
    @tf.function(input_signature=_INPUTS)
    def answer(
        title: tf.Tensor,
        price: tf.Tensor,
        price_missing: tf.Tensor,
        shop: tf.Tensor,
        clicks: tf.Tensor,
        clicks_length: tf.Tensor,
        weight: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        padded_to = tf.reduce_sum(tf.ones_like(clicks), axis=1)
        places = tf.cumsum(tf.ones_like(clicks), axis=1)
        inside = places <= tf.cast(clicks_length[:, None], tf.float32)
        columns = [
            tf.cast(tf.reduce_sum(title, axis=1), tf.float32),
            price,
            tf.cast(price_missing, tf.float32),
            tf.cast(shop, tf.float32),
            tf.reduce_sum(tf.where(inside, clicks, tf.zeros_like(clicks)), axis=1),
            padded_to,
            weight,
        ]
        return {"sent": tf.stack(columns, axis=1), "double": 2 * tf.stack(columns[:2], axis=1)}

    module = tf.Module()
    module.answer = answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], module
    )
    Path(__file__).with_name("predictor.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
