"""The network: two layers from all inputs to one number, in the scale of the rents."""

import keras

from overnight.api import Examples, Schema
from overnight.models.training.inputs import features, keras_inputs
from overnight.models.training.network import Network


def build(tensors: Schema, training: Examples) -> keras.Model:
    layers, inputs = keras.layers, keras_inputs(tensors)
    rents = training.labels_of("rent")
    hidden = layers.Dense(32, activation="relu")(features(tensors, inputs))
    hidden = layers.Dense(16, activation="relu")(hidden)
    scaled = layers.Reshape(())(layers.Dense(1)(hidden))
    rent = layers.Rescaling(float(rents.std()), float(rents.mean()), name="rent")(scaled)
    return keras.Model(inputs, {"rent": rent})


NETWORK = Network(build, losses={"rent": "mae"})
