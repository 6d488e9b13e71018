"""Training loop of the sales forecast: quantile loss, and random hiding of names."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Examples
from overnight.models.sales.schema import QUANTILES
from overnight.models.training.learning import Metrics, Report, Steps

# The share of stores, and of departments, that are shown as *other*, so that *other* is learned.
HIDDEN_SHARE = 0.05
WEIGHT_DECAY = 0.02

INPUTS = ("store", "department", "day", "lead_days", "recent")


class SalesLearner:
    """Trains the network on examples."""

    def __init__(
        self, network: keras.Model, examples: Examples, *, settings: TrainingSettings
    ) -> None:
        self.network, self.settings = network, settings
        self.inputs = {name: tf.constant(examples.inputs[name]) for name in INPUTS}
        self.labels = tf.constant(examples.labels_of().astype(np.float32))
        self.steps = Steps(
            network, examples.n, settings=settings, weight_decay=WEIGHT_DECAY, metrics_of=means
        )
        self.learn = tf.function(self._learn)

    def epoch(self, epoch: int, report: Report) -> Metrics:
        """Train on every example once."""
        return self.steps.take(self.learn, epoch, report)

    def _learn(self, chosen: Any, step: Any) -> Any:
        """One step on the rows `chosen`; returns sums of loss, absolute errors and labels, [3]."""
        inputs = {name: tf.gather(values, chosen) for name, values in self.inputs.items()}
        labels = tf.gather(self.labels, chosen)
        inputs |= hidden(inputs, seed=self.settings.seed, step=step)
        with tf.GradientTape() as tape:
            answer = self.network(inputs, training=True)["units"]
            loss = tf.reduce_mean(pinball(labels, answer))
        weights = self.network.trainable_variables
        self.steps.optimizer.apply(tape.gradient(loss, weights), weights)
        error = tf.reduce_sum(tf.abs(labels - answer[:, 1]))
        return tf.stack([loss, error, tf.reduce_sum(labels)])


def pinball(labels: Any, answer: Any) -> Any:
    """The loss whose least expectation is the quantile (Koenker and Bassett 1978), summed: [n]."""
    quantiles = tf.constant(QUANTILES)
    missed = labels[:, None] - answer
    return tf.reduce_sum(tf.maximum(quantiles * missed, (quantiles - 1.0) * missed), axis=1)


def hidden(inputs: dict[str, Any], *, seed: int, step: Any) -> dict[str, Any]:
    """Store and department codes, some set to *other*, drawn from seed and step: [n] each."""
    n = tf.shape(inputs["store"])[0]
    # A code times 0 is 0, the code of *other*.
    kept = tf.random.stateless_uniform((2, n), (seed, step)) >= HIDDEN_SHARE
    return {
        name: inputs[name] * tf.cast(kept[place], tf.int32)
        for place, name in enumerate(("store", "department"))
    }


def means(sums: NDArray[np.float64], steps: int) -> dict[str, float]:
    """The mean loss, and the WAPE: absolute errors over sales."""
    return {"loss": float(sums[0] / steps), "wape": float(sums[1] / max(sums[2], 1e-9))}
