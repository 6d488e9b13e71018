"""Makes predictor.tflite beside it, which needs the training extra.

A forecast of what a shop will sell of a kind of goods: the mean of the last week's days, a tenth
more for each shop's number, 10 more for each kind's, 100 more on Saturdays, 1 more for each day
ahead; 80 % and 125 % of it are the ends of its interval.
"""

from pathlib import Path

import tensorflow as tf

DAYS = 28


def main() -> None:
    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.int32, name="shop"),
            tf.TensorSpec((None,), tf.int32, name="kind"),
            tf.TensorSpec((None,), tf.int32, name="day"),
            tf.TensorSpec((None,), tf.int32, name="lead"),
            tf.TensorSpec((None, DAYS), tf.float32, name="sold"),
        ]
    )
    def answer(
        shop: tf.Tensor, kind: tf.Tensor, day: tf.Tensor, lead: tf.Tensor, sold: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        number, goods = tf.cast(shop, tf.float32), tf.cast(kind, tf.float32)
        # 1 January 1970 was a Thursday.
        saturday = tf.cast(tf.equal(tf.math.floormod(day, 7), 2), tf.float32)
        week = tf.reduce_mean(sold[:, -7:], axis=1)
        middle = week * (1 + number / 10) + 10 * goods + 100 * saturday + tf.cast(lead, tf.float32)
        known = tf.stack([shop > 0, kind > 0], axis=1)
        units = tf.stack([0.8 * middle, middle, 1.25 * middle], axis=1)
        return {"units": units, "known": tf.cast(known, tf.uint8)}

    module = tf.Module()
    module.answer = answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], module
    )
    Path(__file__).with_name("predictor.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
