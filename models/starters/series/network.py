"""The network: from a series' recent days to quantiles of a coming one."""

from typing import Any

import keras
from keras import ops

from overnight.models.training.inputs import keras_inputs
from overnight.models.training.network import Network
from overnight.store.schema import Schema

QUANTILES = (0.1, 0.5, 0.9)


def build(tensors: Schema) -> keras.Model:
    """Two layers over the recent days in units of their mean, so that large and small are alike."""
    inputs, layers = keras_inputs(tensors), keras.layers
    shop, (output,) = tensors.inputs[0], tensors.outputs
    recent = inputs["recent"]
    scale = ops.mean(ops.absolute(recent), axis=1, keepdims=True) + 1e-3
    weekday = ops.one_hot(inputs["day"] % 7, 7)
    lead = ops.one_hot(inputs["lead_days"] - 1, 7)
    name = ops.one_hot(inputs[shop.name], len(shop.vocabulary))
    x = layers.Concatenate()([recent / scale, weekday, lead, name])
    x = layers.Dense(32, activation="relu")(x)
    x = layers.Dense(len(QUANTILES))(x)
    # The steps between quantiles are positive, so that they stay in order.
    low, steps = x[:, :1], ops.softplus(x[:, 1:])
    ordered = ops.concatenate([low, low + steps[:, :1], low + ops.sum(steps, 1, True)], axis=1)
    answer = layers.Multiply(name=output.name)([ordered, scale])
    return keras.Model(inputs, {output.name: answer})


def pinball(truth: Any, answer: Any) -> Any:
    """The loss that is least at the quantiles (Koenker and Bassett 1978), summed over them."""
    quantiles = ops.array(QUANTILES)
    missed = ops.reshape(truth, (-1, 1)) - answer
    return ops.sum(ops.maximum(quantiles * missed, (quantiles - 1) * missed), axis=1)


NETWORK = Network(build, losses={"units": pinball})
