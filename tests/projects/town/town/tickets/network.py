"""The network: the mean of the words' embeddings, and the other inputs beside it."""

import keras

from overnight.api import Schema
from overnight.models.training.inputs import features, keras_inputs
from overnight.models.training.network import Network


def build(tensors: Schema) -> keras.Model:
    layers, inputs = keras.layers, keras_inputs(tensors)
    (text,) = (spec.text for spec in tensors.inputs if spec.name == "text")
    words = layers.GlobalAveragePooling1D()(layers.Embedding(text.size, 16)(inputs["text"]))
    beside = features(tensors, inputs, without=("text",))
    hidden = layers.Concatenate()([words, beside])
    answer = layers.Dense(3, activation="softmax", name="probabilities")(hidden)
    return keras.Model(inputs, {"probabilities": answer})


NETWORK = Network(
    build,
    losses={"probabilities": "sparse_categorical_crossentropy"},
    metrics={"probabilities": ["accuracy"]},
)
