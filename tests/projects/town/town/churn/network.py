"""The network: a hidden layer over all inputs."""

import keras

from overnight.api import Schema
from overnight.models.training.inputs import features, keras_inputs
from overnight.models.training.network import Network


def build(tensors: Schema) -> keras.Model:
    inputs = keras_inputs(tensors)
    hidden = keras.layers.Dense(16, activation="relu")(features(tensors, inputs))
    answer = keras.layers.Dense(2, activation="softmax", name="probabilities")(hidden)
    return keras.Model(inputs, {"probabilities": answer})


NETWORK = Network(
    build,
    losses={"probabilities": "sparse_categorical_crossentropy"},
    metrics={"probabilities": ["accuracy"]},
)
