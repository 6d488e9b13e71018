"""The network: build, fit, export and predict.

All preprocessing of a client's inputs belongs in here, so that training and serving cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from numpy.typing import NDArray

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Array, Examples
from overnight.models.metrics.classifier import same_class
from overnight.models.training import export as exporting
from overnight.models.training import learning
from overnight.models.training.learning import Fitted, Report
from tests.support.small_models.strokes.schema import CLASSES


def build(*, seed: int) -> keras.Model:
    """Build the untrained network, from `image` to `probabilities`; the seed fixes its weights."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input((8, 8), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Reshape((8, 8, 1))(x)
    x = layers.Conv2D(16, 3, activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(32, activation="relu")(x)
    answer = layers.Dense(len(CLASSES), activation="softmax", name="probabilities")(x)
    return keras.Model({"image": image}, {"probabilities": answer})


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
        output="probabilities",
        loss="sparse_categorical_crossentropy",
        metrics=("accuracy",),
        settings=settings,
        report=report,
        start=start,
    )


def export(network: keras.Model, sample: Mapping[str, Array]) -> dict[str, bytes]:
    """The files of a bundle; int8 weights when they hardly ever change the class."""
    return exporting.export(network, sample, alike=same_class)


def predict(network: keras.Model, inputs: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
    """Answer `image` with `probabilities`."""
    return exporting.predict(network, inputs)
