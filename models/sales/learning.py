"""How the sales' network learns: steps, epochs, and names that are hidden now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.definition import Examples, Progress, TrainingSettings
from models.sales.schema import QUANTILES

REPORT_EVERY_SECONDS = 0.4
# So often a store, and so often a department, is shown as *other*: that is how *other* is learned.
HIDDEN_SHARE = 0.05
WEIGHT_DECAY = 0.02

INPUTS = ("store", "department", "day", "lead_days", "recent")
Report = Callable[[Progress], None]


class Learner:
    """The network, its optimiser, and the examples it learns from."""

    def __init__(
        self, network: keras.Model, examples: Examples, *, settings: TrainingSettings
    ) -> None:
        self.network, self.settings = network, settings
        self.inputs = {name: tf.constant(examples.inputs[name]) for name in INPUTS}
        self.labels = tf.constant(examples.labels.astype(np.float32))
        self.batch_rows = min(settings.batch_rows, examples.n)
        self.steps = examples.n // self.batch_rows
        self.optimizer = keras.optimizers.AdamW(
            one_cycle(settings.learning_rate, steps=settings.epochs * self.steps),
            weight_decay=WEIGHT_DECAY,
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(network.trainable_variables)
        self.learn = tf.function(self._learn)

    def _learn(self, chosen: Any, step: Any) -> Any:
        """Take one step on the rows `chosen`; return the sums of loss, of error and of labels."""
        inputs = {name: tf.gather(values, chosen) for name, values in self.inputs.items()}
        labels = tf.gather(self.labels, chosen)
        inputs |= hidden(inputs, seed=self.settings.seed, step=step)
        with tf.GradientTape() as tape:
            answer = self.network(inputs, training=True)["units"]
            loss = tf.reduce_mean(pinball(labels, answer))
        weights = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        error = tf.reduce_sum(tf.abs(labels - answer[:, 1]))
        return tf.stack([loss, error, tf.reduce_sum(labels)])

    def epoch(self, epoch: int, report: Report) -> dict[str, float]:
        """Show every example once, in an order fixed by seed and epoch."""
        order = np.random.default_rng((self.settings.seed, epoch)).permutation(len(self.labels))
        sums, reported = np.zeros(3), time.monotonic()
        for step in range(1, self.steps + 1):
            chosen = order[(step - 1) * self.batch_rows : step * self.batch_rows]
            sums += self.learn(tf.constant(chosen), tf.constant(epoch * self.steps + step)).numpy()
            if step < self.steps and time.monotonic() - reported > REPORT_EVERY_SECONDS:
                reported = time.monotonic()
                report(
                    Progress(
                        epoch=epoch,
                        epochs=self.settings.epochs,
                        step=step,
                        steps=self.steps,
                        metrics=means(sums, step),
                    )
                )
        return means(sums, self.steps)


def pinball(labels: Any, answer: Any) -> Any:
    """The loss whose least expectation is the quantile (Koenker and Bassett 1978), summed: [n]."""
    quantiles = tf.constant(QUANTILES)
    missed = labels[:, None] - answer
    return tf.reduce_sum(tf.maximum(quantiles * missed, (quantiles - 1.0) * missed), axis=1)


def hidden(inputs: dict[str, Any], *, seed: int, step: Any) -> dict[str, Any]:
    """Stores and departments, some of which are shown as *other*; drawn from seed and step."""
    n = tf.shape(inputs["store"])[0]
    kept = tf.random.stateless_uniform((2, n), (seed, step)) >= HIDDEN_SHARE
    return {
        name: inputs[name] * tf.cast(kept[place], tf.int32)
        for place, name in enumerate(("store", "department"))
    }


def means(sums: NDArray[np.float64], steps: int) -> dict[str, float]:
    """The mean loss, and the error in shares of what was sold."""
    return {"loss": float(sums[0] / steps), "wape": float(sums[1] / max(sums[2], 1e-9))}


def one_cycle(learning_rate: float, *, steps: int) -> Any:
    """Warm up for a fifth of the steps, then fall along a cosine to nothing (Smith 2018)."""
    warm_up = max(steps // 5, 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 25,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(steps - warm_up, 1),
    )
