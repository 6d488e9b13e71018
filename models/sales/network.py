"""Network of the sales forecast: build, fit, export and predict.

All preprocessing between a client's inputs (store, department, day, recent sales) and three
quantiles of the pieces that will be sold is inside the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Array, Examples
from overnight.models.metrics.regression import within_tolerance
from overnight.models.sales.preprocessing import Features, InVocabulary, OneHot, OrderedQuantiles
from overnight.models.sales.schema import DEPARTMENT, QUANTILES, RECENT_DAYS, STORE, TOLERANCE
from overnight.models.sales.training import INPUTS, SalesLearner, pinball
from overnight.models.training import export as exporting
from overnight.models.training.export import load, run_predictor
from overnight.models.training.learning import Course, Fitted, Report, fit_by_steps

STORE_WIDTH, DEPARTMENT_WIDTH = 8, 6
WIDTHS = (96, 48)
# int8 weights are served when hardly a forecast changes.
ALIKE = partial(within_tolerance, output="units", tolerance=TOLERANCE)


__all__ = ["Fitted", "build", "export", "fit", "load", "predict", "run_predictor"]


def build(*, seed: int) -> keras.Model:
    """Build the untrained network, from the five inputs of the schema to `units` and `known`.

    `units`, float32 [n, 3], are P10, P50 and P90, never negative and in order; `known`, uint8
    [n, 2], tells whether store and department are of the vocabulary. The seed fixes the weights.
    """
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in INPUTS[:-1]}
    inputs["recent"] = keras.Input((RECENT_DAYS,), dtype="float32", name="recent")
    features, scale, is_open = Features(name="prepared")(
        [inputs["day"], inputs["lead_days"], inputs["recent"]]
    )
    parts = [features]
    for name, spec, width in (
        ("store", STORE, STORE_WIDTH),
        ("department", DEPARTMENT, DEPARTMENT_WIDTH),
    ):
        # A matrix product instead of a look-up, whose gradient is not deterministic.
        encoded = OneHot(len(spec.vocabulary), name=f"one_{name}")(inputs[name])
        parts.append(layers.Dense(width, use_bias=False, name=f"{name}_embedding")(encoded))
    x = layers.Concatenate(name="features")(parts)
    for number, width in enumerate(WIDTHS, 1):
        x = layers.Dense(width, activation="relu", name=f"hidden_{number}")(x)
    raw = layers.Dense(len(QUANTILES), name="raw")(x)
    units = OrderedQuantiles(name="units")([raw, scale, is_open])
    known = InVocabulary(name="known", dtype="float32")([inputs["store"], inputs["department"]])
    return keras.Model(inputs, {"units": units, "known": known}, name="sales")


def fit(
    training: Examples,
    validation: Examples,
    *,
    settings: TrainingSettings,
    report: Report,
    start: Path | None = None,
) -> Fitted:
    """Train a network on daily sales; see `learning.fit_by_steps`."""

    def prepare(network: keras.Model) -> Course:
        learner = SalesLearner(network, training, settings=settings)
        return learner.steps.count, learner.epoch, partial(_validate, network, validation)

    return fit_by_steps(
        build, prepare, training, validation, settings=settings, report=report, start=start
    )


def _validate(network: keras.Model, validation: Examples) -> dict[str, float]:
    answer = predict(network, validation.inputs)["units"]
    labels = validation.labels_of().astype(np.float32)
    loss = float(tf.reduce_mean(pinball(tf.constant(labels), tf.constant(answer))))
    error = float(np.abs(labels - answer[:, 1]).sum() / max(float(labels.sum()), 1e-9))
    return {"validation_loss": loss, "validation_wape": error}


def export(network: keras.Model, sample: Mapping[str, Array]) -> dict[str, bytes]:
    """Turn the network into `network.keras`, `predictor.tflite`, and `exported.json`.

    The predictor runs in LiteRT with built-in operators only, at any batch size; the names in its
    signature are those of the schema. Its weights are int8 when at least 99.9 % of the answers to
    the sample stay within 0.05 pieces or 2 % of what they were, and float32 otherwise.
    """
    return exporting.export(network, sample, alike=ALIKE)


def predict(
    network: keras.Model, inputs: Mapping[str, Array], batch_rows: int = 4096
) -> dict[str, NDArray[Any]]:
    """Answer the inputs with `units` and `known`, shaped as `build` says."""
    return exporting.predict(network, inputs, batch_rows)
