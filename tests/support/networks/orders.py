"""A small network over every kind of input: text, category, date, gap and lists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
from keras import ops

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.metrics.regression import within_tolerance
from overnight.models.training import export as exporting
from overnight.models.training import learning
from overnight.models.training.inputs import features, keras_inputs
from overnight.store.schema import Schema
from tests.support.orders import TOLERANCE


@keras.saving.register_keras_serializable("orders")
class MeanOfRow(keras.layers.Layer):
    """The mean of the values that are there, whatever a batch is padded to: float32 [n, 1]."""

    def call(self, inputs: Any) -> Any:
        values, length = inputs
        within = ops.arange(ops.shape(values)[1]) < ops.expand_dims(length, 1)
        total = ops.sum(ops.where(within, values, 0.0), axis=1, keepdims=True)
        return total / ops.cast(ops.maximum(ops.expand_dims(length, 1), 1), "float32")


def build(tensors: Schema, *, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras_inputs(tensors)
    note = next(spec for spec in tensors.inputs if spec.name == "note")
    words = keras.layers.Embedding(note.text.size, 4)(inputs["note"])
    read = keras.layers.GlobalAveragePooling1D()(words)
    steps = MeanOfRow()([inputs["steps"], inputs["steps_length"]])
    numbers = features(tensors, inputs, without=("day",))
    day = keras.layers.Reshape((1,))(ops.cast(ops.floor_divide(inputs["day"], 7), "float32") / 3000)
    x = keras.layers.Concatenate()([numbers, read, steps, day])
    x = keras.layers.Dense(8, activation="relu")(x)
    return keras.Model(inputs, {"price": keras.layers.Dense(1, name="price")(x)})


def fit(
    training: Examples,
    validation: Examples,
    *,
    settings: TrainingSettings,
    report: learning.Report,
    start: Path | None = None,
) -> learning.Fitted:
    assert training.tensors is not None
    return learning.fit(
        build(training.tensors, seed=settings.seed),
        training,
        validation,
        output="price",
        loss="mse",
        settings=settings,
        report=report,
        start=start,
    )


def export(network: keras.Model, sample: Mapping[str, Array]) -> dict[str, bytes]:
    alike = partial(within_tolerance, output="price", tolerance=TOLERANCE)
    return exporting.export(network, sample, alike=alike)


def predict(network: keras.Model, inputs: Mapping[str, Array]) -> Outputs:
    return exporting.predict(network, inputs)
