"""The network that forecasts sales: how it is built, fitted, exported and asked.

Everything between what a client knows (store, department, day, what was sold lately) and three
quantiles of the pieces that will be sold is inside the network.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.definition import Array, Examples, Progress, TrainingSettings
from models.exporting import answers_of, continue_from, load
from models.sales.learning import INPUTS, Learner, Report, pinball
from models.sales.preparation import Known, OneOf, Ordered, Prepared
from models.sales.schema import DEPARTMENT, QUANTILES, RECENT_DAYS, STORE
from store.manifest import Exported

STORE_WIDTH, DEPARTMENT_WIDTH = 8, 6
WIDTHS = (96, 48)
# int8 weights are served when so many answers stay within this of the network's, in all quantiles.
SUFFICIENT_AGREEMENT = 0.999
AGREE_UNITS, AGREE_SHARE = 0.05, 0.02


__all__ = ["Fitted", "answers_of", "build", "export", "fit", "load", "predict"]


class Fitted(NamedTuple):
    """The trained network, and what each epoch came to.

    An entry of the history holds loss, wape, validation_loss, validation_wape, seconds.
    """

    network: keras.Model
    history: list[dict[str, float]]


def build(*, seed: int) -> keras.Model:
    """Build the untrained network, from the five inputs of the schema to `units` and `known`.

    `units`, float32 [n, 3], are P10, P50 and P90, never negative and in order; `known`, uint8
    [n, 2], says whether store and department are of the vocabulary. The seed fixes the weights.
    """
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in INPUTS[:-1]}
    inputs["recent"] = keras.Input((RECENT_DAYS,), dtype="float32", name="recent")
    features, scale, is_open = Prepared(name="prepared")(
        [inputs["day"], inputs["lead_days"], inputs["recent"]]
    )
    parts = [features]
    for name, spec, width in (
        ("store", STORE, STORE_WIDTH),
        ("department", DEPARTMENT, DEPARTMENT_WIDTH),
    ):
        # A matrix product stands for the look-up: its gradient is the same on every run.
        one = OneOf(len(spec.vocabulary), name=f"one_{name}")(inputs[name])
        parts.append(layers.Dense(width, use_bias=False, name=f"{name}_embedding")(one))
    x = layers.Concatenate(name="features")(parts)
    for number, width in enumerate(WIDTHS, 1):
        x = layers.Dense(width, activation="relu", name=f"hidden_{number}")(x)
    raw = layers.Dense(len(QUANTILES), name="raw")(x)
    units = Ordered(name="units")([raw, scale, is_open])
    known = Known(name="known", dtype="float32")([inputs["store"], inputs["department"]])
    return keras.Model(inputs, {"units": units, "known": known}, name="sales")


def fit(
    training: Examples,
    validation: Examples,
    *,
    settings: TrainingSettings,
    report: Report,
    start: Path | None = None,
) -> Fitted:
    """Train a network from its seed, and keep the weights of the epoch that validated best.

    With `start`, a `network.keras` of an earlier night, training goes on from its weights.

    Stops early when `patience_epochs` bring no smaller validation loss. The same machine, settings
    and examples give the same weights, bit for bit. `report` hears of each epoch's end, and about
    twice a second between.
    """
    if not training.n or not validation.n:
        raise ValueError(
            f"a fit learns from examples and is validated on others; got {training.n} to learn "
            f"from and {validation.n} to validate on; bring more days or change validation_share"
        )
    network = build(seed=settings.seed)
    if start is not None:
        continue_from(network, start)
    learner = Learner(network, training, settings=settings)
    history: list[dict[str, float]] = []
    best_epoch, best_loss, best_weights = 0, np.inf, network.get_weights()
    for epoch in range(1, settings.epochs + 1):
        began = time.monotonic()
        metrics = learner.epoch(epoch, report) | _validate(network, validation)
        history.append(metrics | {"seconds": time.monotonic() - began})
        report(_ended(epoch, learner, history[-1]))
        if metrics["validation_loss"] < best_loss:
            best_epoch, best_loss = epoch, metrics["validation_loss"]
            best_weights = network.get_weights()
        elif epoch - best_epoch >= settings.patience_epochs:
            break
    network.set_weights(best_weights)
    return Fitted(network, history)


def _ended(epoch: int, learner: Learner, metrics: dict[str, float]) -> Progress:
    steps, epochs = learner.steps, learner.settings.epochs
    return Progress(epoch=epoch, epochs=epochs, step=steps, steps=steps, metrics=metrics)


def _validate(network: keras.Model, validation: Examples) -> dict[str, float]:
    answer = predict(network, validation.inputs)["units"]
    labels = validation.labels.astype(np.float32)
    loss = float(tf.reduce_mean(pinball(tf.constant(labels), tf.constant(answer))))
    error = float(np.abs(labels - answer[:, 1]).sum() / max(float(labels.sum()), 1e-9))
    return {"validation_loss": loss, "validation_wape": error}


def export(network: keras.Model, sample: Mapping[str, Array]) -> dict[str, bytes]:
    """Turn the network into `network.keras`, `predictor.tflite`, and `exported.json`.

    The predictor runs in LiteRT with built-in operators only, at any batch size; the names in its
    signature are those of the schema. Its weights are int8 when at least 99.9 % of the answers to
    the sample stay within 0.05 pieces or 2 % of what they were, and float32 otherwise.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        network.save(path)
        saved = path.read_bytes()
    predictor = _converted(network, compress=True)
    agreement = _agreement(network, predictor, sample)
    is_sufficient = agreement >= SUFFICIENT_AGREEMENT
    if not is_sufficient:
        predictor = _converted(network, compress=False)
    exported = Exported(
        weights="int8" if is_sufficient else "float32",
        agreement=agreement,
        rows=len(sample["day"]),
        sufficient=SUFFICIENT_AGREEMENT,
    )
    return {
        "network.keras": saved,
        "predictor.tflite": predictor,
        "exported.json": exported.model_dump_json().encode(),
    }


def _converted(network: keras.Model, *, compress: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        # `from_keras_model` loses its way in a network of several inputs.
        network.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if compress:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return bytes(converter.convert())


def _agreement(network: keras.Model, predictor: bytes, sample: Mapping[str, Array]) -> float:
    expected = predict(network, sample)["units"]
    answered = answers_of(predictor, sample)["units"]
    near = np.abs(answered - expected) <= AGREE_UNITS + AGREE_SHARE * expected
    return float(near.all(axis=1).mean())


def predict(
    network: keras.Model, inputs: Mapping[str, Array], batch_rows: int = 4096
) -> dict[str, NDArray[Any]]:
    """Answer the inputs with `units` and `known`, shaped as `build` says."""
    answers: dict[str, NDArray[Any]] = network.predict(
        {name: inputs[name] for name in INPUTS}, batch_size=batch_rows, verbose=0
    )
    return answers
