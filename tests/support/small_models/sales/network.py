"""The network: build, fit, export and predict.

All preprocessing of a client's inputs belongs in here, so that training and serving cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import ops
from numpy.typing import NDArray

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Array, Examples
from overnight.models.metrics.regression import within_tolerance
from overnight.models.training import export as exporting
from overnight.models.training import learning
from overnight.models.training.learning import Fitted, Report
from tests.support.small_models.sales.schema import STORES, TOLERANCE, WEEKDAYS

QUANTILES = (0.1, 0.5, 0.9)
# int8 weights are served when hardly a forecast changes.
ALIKE = partial(within_tolerance, output="units", tolerance=TOLERANCE)


@keras.saving.register_keras_serializable("starter")
class Ordered(keras.layers.Layer):
    """Three numbers become a low end, a middle and a high end, in order and never negative.

    They are multiples of recent sales, so that large and small stores are on one scale.
    """

    def call(self, inputs: Any) -> Any:
        raw, yesterday, week_ago = inputs
        steps = ops.softplus(raw)
        scale = (ops.expand_dims(yesterday, 1) + ops.expand_dims(week_ago, 1)) / 2 + 1
        low = steps[:, 0:1]
        middle = low + steps[:, 1:2]
        return ops.concatenate([low, middle, middle + steps[:, 2:3]], axis=1) * scale


def build(*, seed: int) -> keras.Model:
    """Build the untrained network, from the inputs of the schema to `units`, float32 [n, 3]."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    vocabularies = {"store": STORES, "weekday": WEEKDAYS}
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in vocabularies}
    inputs |= {
        name: keras.Input((), dtype="float32", name=name) for name in ("yesterday", "week_ago")
    }
    parts = [ops.one_hot(inputs[name], len(vocabularies[name])) for name in vocabularies]
    sold = [layers.Reshape((1,))(inputs[name]) for name in ("yesterday", "week_ago")]
    lately = layers.BatchNormalization(momentum=0.9)(layers.Concatenate()(sold))
    x = layers.Concatenate()([*parts, lately])
    x = layers.Dense(24, activation="relu")(x)
    raw = layers.Dense(len(QUANTILES))(x)
    units = Ordered(name="units")([raw, inputs["yesterday"], inputs["week_ago"]])
    return keras.Model(inputs, {"units": units})


def pinball(truth: Any, answer: Any) -> Any:
    """The loss whose least expectation is the quantile (Koenker and Bassett 1978), summed."""
    quantiles = ops.array(QUANTILES)
    missed = ops.reshape(truth, (-1, 1)) - answer
    return ops.sum(ops.maximum(quantiles * missed, (quantiles - 1) * missed), axis=1)


def fit(
    training: Examples,
    validation: Examples,
    *,
    settings: TrainingSettings,
    report: Report,
    start: Path | None = None,
) -> Fitted:
    """Train a network from its seed, or on from the weights in `start`."""
    return learning.fit(
        build(seed=settings.seed),
        training,
        validation,
        output="units",
        loss=pinball,
        settings=settings,
        report=report,
        start=start,
    )


def export(network: keras.Model, sample: Mapping[str, Array]) -> dict[str, bytes]:
    """The files of a bundle; int8 weights when they move hardly any forecast."""
    return exporting.export(network, sample, alike=ALIKE)


def predict(network: keras.Model, inputs: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
    """Answer the inputs with `units`."""
    return exporting.predict(network, inputs)
