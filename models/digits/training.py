"""Training loop of digits, with augmentation: images are rotated, stretched, slanted, shifted."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from overnight.models.definition import TrainingSettings
from overnight.models.digits.normalisation import MIDDLE, SIDE
from overnight.models.training.learning import Metrics, Report, Steps

# Usual values for MNIST, not yet compared with others.
ROTATION_DEGREES = 10.0
STRETCH = 0.1
SHIFT_PIXELS = 1.5
# A fit of fewer epochs than this augments less, in proportion: it has no time to average it out.
EPOCHS_FOR_FULL_VARIATION = 6
WEIGHT_DECAY = 0.01


class DigitsLearner:
    """Trains `reader`, the convolutions, on normalised images, uint8 [n, 28, 28]."""

    def __init__(
        self,
        reader: keras.Model,
        pictures: NDArray[np.uint8],
        labels: NDArray[Any],
        *,
        settings: TrainingSettings,
    ) -> None:
        self.reader, self.settings = reader, settings
        self.pictures = tf.constant(pictures)
        self.labels = tf.constant(labels)
        self.steps = Steps(
            reader, len(labels), settings=settings, weight_decay=WEIGHT_DECAY, metrics_of=_means
        )
        self.learn = tf.function(self._learn)

    def epoch(self, epoch: int, report: Report) -> Metrics:
        """Train on every image once."""
        return self.steps.take(self.learn, epoch, report)

    def _learn(self, chosen: Any, step: Any) -> Any:
        """One step on the rows `chosen`; returns loss and accuracy of the batch, [2]."""
        labels = tf.gather(self.labels, chosen)
        pictures = varied(
            tf.gather(self.pictures, chosen),
            seed=self.settings.seed,
            step=step,
            strength=min(1.0, self.settings.epochs / EPOCHS_FOR_FULL_VARIATION),
        )
        with tf.GradientTape() as tape:
            logits = self.reader(pictures, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        weights = self.reader.trainable_variables
        self.steps.optimizer.apply(tape.gradient(loss, weights), weights)
        return tf.stack([loss, tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == labels, tf.float32))])


def _means(sums: NDArray[np.float64], steps: int) -> dict[str, float]:
    return {"loss": float(sums[0] / steps), "accuracy": float(sums[1] / steps)}


def varied(pictures: Any, *, seed: int, step: Any, strength: float) -> Any:
    """Augment images [n, 28, 28]: rotate, stretch, slant and shift each by a random amount.

    Drawn from seed and step alone, so that a fit can be repeated bit for bit.
    """
    count = tf.shape(pictures)[0]
    drawn = tf.random.stateless_uniform((6, count), (seed, step), -strength, strength)
    angle = drawn[0] * (ROTATION_DEGREES * np.pi / 180.0)
    wide, tall = 1.0 + drawn[1] * STRETCH, 1.0 + drawn[2] * STRETCH
    slant = drawn[3] * STRETCH
    a, b = tf.cos(angle) * wide, (slant - tf.sin(angle)) * wide
    c, d = tf.sin(angle) * tall, tf.cos(angle) * tall
    to_x = MIDDLE * (1.0 - a - b) + drawn[4] * SHIFT_PIXELS
    to_y = MIDDLE * (1.0 - c - d) + drawn[5] * SHIFT_PIXELS
    nothing = tf.zeros_like(a)
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures[..., None],
        transforms=tf.stack([a, b, to_x, c, d, to_y, nothing, nothing], axis=1),
        output_shape=(SIDE, SIDE),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return turned[..., 0]
