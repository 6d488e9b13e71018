"""The network: from the row's numbers and categories to one number."""

import keras

from overnight.models.examples import Examples
from overnight.models.training.inputs import features, keras_inputs
from overnight.models.training.network import Network
from overnight.store.schema import Schema


def build(tensors: Schema, training: Examples) -> keras.Model:
    """Two layers; inputs follow from the schema, and the scale of the answer from the rows."""
    inputs, output = keras_inputs(tensors), tensors.outputs[0].name
    truth = training.labels_of(output).astype("float64")
    x = features(tensors, inputs)
    x = keras.layers.Dense(32, activation="relu")(x)
    x = keras.layers.Reshape(())(keras.layers.Dense(1)(x))
    # The layers answer in standard deviations, clients get the unit of the rows.
    answer = keras.layers.Rescaling(float(truth.std()) or 1.0, float(truth.mean()), name=output)
    return keras.Model(inputs, {output: answer(x)})


NETWORK = Network(build, losses={"rent": "mean_absolute_error"})
