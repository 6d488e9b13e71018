"""The network: from the row's numbers and categories to probabilities."""

import keras

from overnight.models.training.inputs import features, keras_inputs
from overnight.models.training.network import Network
from overnight.store.schema import Schema


def build(tensors: Schema) -> keras.Model:
    """Two layers; inputs, their scales and vocabularies follow from the schema."""
    inputs = keras_inputs(tensors)
    x = features(tensors, inputs)
    x = keras.layers.Dense(32, activation="relu")(x)
    x = keras.layers.Dropout(0.1)(x)
    dense = keras.layers.Dense(len(tensors.labels), activation="softmax", name="probabilities")
    return keras.Model(inputs, {"probabilities": dense(x)})


NETWORK = Network(
    build,
    losses={"probabilities": "sparse_categorical_crossentropy"},
    metrics={"probabilities": ["accuracy"]},
)
