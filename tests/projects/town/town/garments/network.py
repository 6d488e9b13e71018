"""The network: one look at the photograph, and two answers."""

import keras

from overnight.api import Schema
from overnight.models.training.inputs import keras_inputs
from overnight.models.training.network import Network


def build(tensors: Schema) -> keras.Model:
    layers, inputs = keras.layers, keras_inputs(tensors)
    x = layers.Rescaling(1 / 255)(inputs["photo"])
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    kind = layers.Dense(2, activation="softmax", name="kind")(x)
    size = layers.Reshape((), name="size")(layers.Dense(1)(x))
    return keras.Model(inputs, {"kind": kind, "size": size})


NETWORK = Network(
    build,
    losses={"kind": "sparse_categorical_crossentropy", "size": "mae"},
    # The error of a pixel's height weighs as much as a tenth of a class.
    loss_weights={"size": 0.1},
    metrics={"kind": ["accuracy"]},
)
