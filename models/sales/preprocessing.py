"""Keras layers that prepare inputs and order outputs; exported with the network."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from overnight.models.sales.holidays import CLOSED, FIRST_DAY, KINDS, LAST_DAY, kinds
from overnight.models.sales.schema import LONGEST_LEAD, RECENT_DAYS, SHORTEST_LEAD

WEEK = 7
LEADS = LONGEST_LEAD - SHORTEST_LEAD + 1
WEEKS = RECENT_DAYS // WEEK
NEWEST_DAYS = 14
# 1970-01-01 was a Thursday; Monday is 0.
_EPOCH_WEEKDAY = 3
# Added to the scale, so that series without sales are not divided by 0.
_LEAST_UNITS = 0.1


def same_weekday_places() -> NDArray[np.int32]:
    """For each lead, the indices in `recent` of the forecast day's weekday, newest first.

    Shape [leads, weeks].
    """
    by_lead = []
    for lead in range(SHORTEST_LEAD, LONGEST_LEAD + 1):
        # Weeks back from the forecast day to the first that is at or before the cut-off.
        first = -(-lead // WEEK)
        by_lead.append([RECENT_DAYS - 1 + lead - WEEK * (first + week) for week in range(WEEKS)])
    return np.array(by_lead, np.int32)


# The layers keep the names under which published networks know them.
@keras.saving.register_keras_serializable(package="overnight.sales", name="Prepared")
class Features(keras.layers.Layer):  # type: ignore[misc]
    """From `day`, `lead_days` and `recent` to features, a scale in pieces, and whether stores open.

    Features [n, width]: logarithms of the sales on the same weekday of eight weeks, in each of
    eight weeks, and on the newest fourteen days, by scale; weekday, kind of day and lead, one-hot.
    """

    def call(self, inputs: Any) -> Any:
        """Take int32 [n], int32 [n] and float32 [n, 56]; give [n, width], [n, 1] and [n, 1]."""
        day, lead, recent = inputs
        sold = tf.nn.relu(recent)
        # Serving warms a predictor up with zeros, which are neither a valid day nor a valid lead.
        ahead = tf.math.floormod(lead - SHORTEST_LEAD, LEADS)
        kind = tf.gather(
            tf.constant(kinds()), tf.clip_by_value(day - FIRST_DAY, 0, LAST_DAY - FIRST_DAY)
        )
        place = tf.gather(tf.constant(same_weekday_places()), ahead)
        same = tf.gather(sold, place, axis=1, batch_dims=1)
        weeks = tf.reduce_mean(tf.reshape(sold, (-1, WEEKS, WEEK)), axis=2)
        recently = tf.reduce_mean(weeks[:, WEEKS // 2 :], axis=1, keepdims=True)
        usually = tf.reduce_mean(weeks, axis=1, keepdims=True)
        scale = (recently + usually) / 2 + _LEAST_UNITS
        numbers = tf.concat([same / scale, weeks / scale, sold[:, -NEWEST_DAYS:] / scale], axis=1)
        features = tf.concat(
            [
                tf.math.log1p(numbers),
                tf.math.log(scale),
                tf.one_hot(tf.math.floormod(day + _EPOCH_WEEKDAY, WEEK), WEEK),
                tf.one_hot(kind, len(KINDS)),
                tf.one_hot(ahead, LEADS),
            ],
            axis=1,
        )
        is_open = tf.cast(tf.not_equal(kind, CLOSED), tf.float32)[:, None]
        return features, scale, is_open


@keras.saving.register_keras_serializable(package="overnight.sales", name="OneOf")
class OneHot(keras.layers.Layer):  # type: ignore[misc]
    """One-hot encoding of a vocabulary code."""

    def __init__(self, depth: int, **options: Any) -> None:
        super().__init__(**options)
        self.depth = depth

    def call(self, code: Any) -> Any:
        """Take int32 [n]; give float32 [n, depth]."""
        return tf.one_hot(code, self.depth)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depth": self.depth}


@keras.saving.register_keras_serializable(package="overnight.sales", name="Known")
class InVocabulary(keras.layers.Layer):  # type: ignore[misc]
    """Whether two codes are of the vocabulary: all except 0 (`other`) are."""

    def call(self, inputs: Any) -> Any:
        """Take two of int32 [n]; give uint8 [n, 2]."""
        return tf.cast(tf.stack(inputs, axis=1) > 0, tf.uint8)


@keras.saving.register_keras_serializable(package="overnight.sales", name="Ordered")
class OrderedQuantiles(keras.layers.Layer):  # type: ignore[misc]
    """Maps three unbounded numbers to quantiles in pieces: 0 <= P10 <= P50 <= P90."""

    def call(self, inputs: Any) -> Any:
        """Take [n, 3], the scale [n, 1] and whether shops open [n, 1]; give float32 [n, 3]."""
        raw, scale, is_open = inputs
        # Positive steps from the middle keep the three in order, whatever the network gives.
        middle = tf.nn.softplus(raw[:, 1:2])
        low = middle * tf.nn.sigmoid(raw[:, 0:1])
        high = middle + tf.nn.softplus(raw[:, 2:3])
        return tf.concat([low, middle, high], axis=1) * scale * is_open
