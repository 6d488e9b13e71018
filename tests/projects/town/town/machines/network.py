"""The network: how steeply readings rise, over those that are there."""

import keras
from keras import ops

from overnight.api import Schema
from overnight.models.training.inputs import features, keras_inputs
from overnight.models.training.network import Network


def build(tensors: Schema) -> keras.Model:
    layers, inputs = keras.layers, keras_inputs(tensors)
    readings = inputs["readings"]
    steps = readings[:, 1:] - readings[:, :-1]
    # 1 where a step is between two readings, and 0 in what the row is filled up with.
    count = ops.cast(ops.expand_dims(inputs["readings_length"], 1) - 1, "float32")
    there = ops.cast(ops.cumsum(ops.ones_like(steps), axis=1) <= count, "float32")
    rise = ops.sum(steps * there, axis=1, keepdims=True) / ops.maximum(count, 1)
    hidden = layers.Concatenate()([rise, features(tensors, inputs)])
    hidden = layers.Dense(8, activation="relu")(hidden)
    answer = layers.Dense(2, activation="softmax", name="probabilities")(hidden)
    return keras.Model(inputs, {"probabilities": answer})


NETWORK = Network(
    build,
    losses={"probabilities": "sparse_categorical_crossentropy"},
    metrics={"probabilities": ["accuracy"]},
)
