"""The network: from pixels to probabilities."""

import keras

from overnight.models.training.inputs import keras_inputs
from overnight.models.training.network import Network
from overnight.store.schema import Schema


def build(tensors: Schema) -> keras.Model:
    """Three convolutions, each halved, over pixels from 0 to 1."""
    inputs, layers = keras_inputs(tensors), keras.layers
    x = layers.Rescaling(1 / 255)(inputs["image"])
    for filters in (16, 32, 32):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    dense = layers.Dense(len(tensors.labels), activation="softmax", name="probabilities")
    return keras.Model(inputs, {"probabilities": dense(x)})


NETWORK = Network(
    build,
    losses={"probabilities": "sparse_categorical_crossentropy"},
    metrics={"probabilities": ["accuracy"]},
)
