"""One layer over the numbers of a wine, whichever they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import keras

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.metrics.equivalence import Tolerance
from overnight.models.metrics.regression import within_tolerance
from overnight.models.training import export as exporting
from overnight.models.training import learning
from overnight.models.training.inputs import features, keras_inputs
from overnight.store.schema import Schema


def build(tensors: Schema, *, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras_inputs(tensors)
    answer = keras.layers.Dense(2, activation="softmax", name="probabilities")
    return keras.Model(inputs, {"probabilities": answer(features(tensors, inputs))})


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
        output="probabilities",
        loss="sparse_categorical_crossentropy",
        settings=settings,
        report=report,
        start=start,
    )


def export(network: keras.Model, sample: Mapping[str, Array]) -> dict[str, bytes]:
    alike = partial(within_tolerance, output="probabilities", tolerance=Tolerance())
    return exporting.export(network, sample, alike=alike)


def predict(network: keras.Model, inputs: Mapping[str, Array]) -> Outputs:
    return exporting.predict(network, inputs)
