"""The network: from the numbers of the words to probabilities."""

import keras

from overnight.models.training.inputs import keras_inputs
from overnight.models.training.network import Network
from overnight.models.training.texts import mean_of_words
from overnight.store.schema import Schema


def build(tensors: Schema) -> keras.Model:
    """A layer over the mean of the words' embeddings, which are learned with it."""
    inputs = keras_inputs(tensors)
    x = mean_of_words(tensors, inputs, "message")
    x = keras.layers.Dense(24, activation="relu")(x)
    dense = keras.layers.Dense(len(tensors.labels), activation="softmax", name="probabilities")
    return keras.Model(inputs, {"probabilities": dense(x)})


NETWORK = Network(
    build,
    losses={"probabilities": "sparse_categorical_crossentropy"},
    metrics={"probabilities": ["accuracy"]},
)
