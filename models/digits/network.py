"""Network of digits: build, fit, export and predict.

All preprocessing between an image of 28 × 28 bytes and ten probabilities is inside the network, so
that training, the HTTP interfaces and the drawing page cannot prepare images differently.
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
from overnight.models.digits.normalisation import SIDE, MnistNormalisation
from overnight.models.digits.scored import with_score
from overnight.models.digits.training import DigitsLearner
from overnight.models.examples import Array, Examples
from overnight.models.metrics.classifier import same_class
from overnight.models.training import export as exporting
from overnight.models.training.export import load, run_predictor
from overnight.models.training.learning import Course, Fitted, Report, fit_by_steps

CLASSES = 10
# Of the training images 88 % leave these outer rows and columns blank.
MARGIN = 2


__all__ = ["Fitted", "build", "export", "fit", "load", "predict", "run_predictor"]


@keras.saving.register_keras_serializable(package="overnight")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation by TensorFlow's fused kernel, cheaper by a quarter of a training step."""

    def call(self, inputs: Any, *, training: bool | None = None) -> Any:
        """Normalise by the batch's moments in training, and update the moving averages."""
        if not training:
            return super().call(inputs, training=False)
        normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel's own moving averages have no momentum that Keras could set.
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1.0 - self.momentum))
        self.moving_variance.assign(
            self.moving_variance * self.momentum + variance * (1.0 - self.momentum)
        )
        return normalised


def build(*, seed: int) -> keras.Model:
    """Build the untrained network: `image` uint8 [n, 28, 28], white on black, to two outputs.

    `probabilities`, float32 [n, 10], sum to one; `seen`, uint8 [n, 28, 28], is the normalised image
    that the convolutions read. The seed fixes the initial weights.
    """
    keras.utils.set_random_seed(seed)
    image = keras.Input((SIDE, SIDE), dtype="uint8", name="image")
    seen = MnistNormalisation(name="seen", dtype="float32")(image)
    probabilities = keras.layers.Softmax(name="probabilities")(_reader()(seen))
    return keras.Model(image, {"probabilities": probabilities, "seen": seen}, name="digits")


def _reader() -> keras.Model:
    """Build the convolutions: uint8 [n, 28, 28], normalised, to logits [n, 10]; 57,000 parameters.

    Of the shapes tried for one epoch, validated on training images 50,000 to 59,999, this kind did
    best for its CPU time: the time that the margin costs is better spent on wider layers. Pooling
    comes first so that batch normalisation reads a quarter of the numbers.
    """
    layers = keras.layers
    picture = keras.Input((SIDE, SIDE), dtype="uint8", name="picture")
    x = layers.Rescaling(1.0 / 255.0, name="unit", dtype="float32")(picture)
    x = layers.Reshape((SIDE, SIDE, 1), name="channel")(x)
    x = layers.Cropping2D(MARGIN, name="without_margin")(x)
    for width, kernel, pooled in ((20, 5, True), (40, 3, False), (56, 3, True), (56, 3, False)):
        x = layers.Conv2D(width, kernel, use_bias=False, kernel_initializer="he_normal")(x)
        if pooled:
            x = layers.MaxPooling2D(2)(x)
        x = FusedBatchNormalization(momentum=0.95)(x)
        x = layers.ReLU()(x)
    x = layers.Flatten(name="features")(x)
    return keras.Model(picture, layers.Dense(CLASSES, name="logits")(x), name="reader")


def fit(
    training: Examples,
    validation: Examples,
    *,
    settings: TrainingSettings,
    report: Report,
    start: Path | None = None,
) -> Fitted:
    """Train a network on images; see `learning.fit_by_steps`."""

    def prepare(network: keras.Model) -> Course:
        reader = network.get_layer("reader")
        learner = DigitsLearner(
            reader, _seen(network, training), training.labels_of(), settings=settings
        )
        held_out = _seen(network, validation)
        validate = partial(_validate, reader, held_out, validation.labels_of())
        return learner.steps.count, learner.epoch, validate

    return fit_by_steps(
        build, prepare, training, validation, settings=settings, report=report, start=start
    )


def _seen(network: keras.Model, examples: Examples) -> NDArray[np.uint8]:
    """Normalise all images once, instead of in every epoch: uint8 [n, 28, 28]."""
    normalise, images = tf.function(network.get_layer("seen")), examples.inputs["image"]
    parts = [normalise(images[i : i + 1000]).numpy() for i in range(0, len(images), 1000)]
    seen: NDArray[np.uint8] = np.concatenate(parts)
    return seen


def _validate(
    reader: keras.Model, seen: NDArray[np.uint8], labels: NDArray[Any]
) -> dict[str, float]:
    logits = reader.predict(seen, batch_size=500, verbose=0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits).numpy()
    right = logits.argmax(axis=1) == labels
    return {"validation_loss": float(losses.mean()), "validation_accuracy": float(right.mean())}


def export(
    network: keras.Model, sample: Mapping[str, Array], *, score_rows: Examples | None = None
) -> dict[str, bytes]:
    """Turn the network into `network.keras`, `predictor.tflite`, and `exported.json`.

    The predictor runs in LiteRT with built-in operators only, at any batch size; the names in its
    signature are `image`, `probabilities`, `seen`. Its weights are int8 when at least 99.9 % of the
    answers to the sample stay as they were, and float32 otherwise: so accuracy falls by a tenth of
    a point at most, which is less than its noise on ten thousand rows.

    With `score_rows`, which the network has learned, the predictor has a further output `novelty`:
    how unlike them an image is.
    """
    served = None if score_rows is None else with_score(network, score_rows)
    return exporting.export(network, sample, alike=same_class, served=served)


def predict(
    network: keras.Model, inputs: Mapping[str, Array], batch_rows: int = 512
) -> dict[str, NDArray[Any]]:
    """Answer `image` with `probabilities` and `seen`, shaped as `build` says."""
    return exporting.predict(network, inputs, batch_rows)
