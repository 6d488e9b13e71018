"""Training loops: seeded epochs with early stopping, keeping the best epoch's weights.

Imported by networks only, in the training process: it imports TensorFlow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from overnight.models.definition import Progress, TrainingSettings
from overnight.models.examples import Examples
from overnight.models.training.export import continue_from

REPORT_EVERY_SECONDS = 0.4

Report = Callable[[Progress], None]
Metrics = Mapping[str, float]
# Trains one epoch, counted from one, and returns its training metrics; it may report progress.
Epoch = Callable[[int, Report], Metrics]
# The steps of an epoch, the function that trains one, and the function that validates.
Course = tuple[int, Epoch, Callable[[], Metrics]]


class Fitted(NamedTuple):
    """The trained network, and each epoch's metrics: loss, validation_loss, seconds and more."""

    network: keras.Model
    history: list[dict[str, float]]


class Steps:
    """Gradient steps of one fit: batches in an order fixed by seed and epoch, and the optimiser.

    `learn(chosen, step)` takes one step on the rows `chosen` and returns a tensor of sums;
    `metrics_of(sums, steps)` makes named metrics of the sums of so many steps.
    """

    def __init__(
        self,
        network: keras.Model,
        rows: int,
        *,
        settings: TrainingSettings,
        weight_decay: float,
        metrics_of: Callable[[NDArray[np.float64], int], dict[str, float]],
    ) -> None:
        self.settings, self._rows, self._metrics_of = settings, rows, metrics_of
        self._batch_rows = min(settings.batch_rows, rows)
        self.count = rows // self._batch_rows
        self.optimizer = keras.optimizers.AdamW(
            one_cycle(settings.learning_rate, steps=settings.epochs * self.count),
            weight_decay=weight_decay,
        )
        # Decay regularises kernels; on shifts and scales it would only bias the network.
        self.optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        # Before a step is traced: a `tf.function` may not create variables later.
        self.optimizer.build(network.trainable_variables)

    def take(self, learn: Callable[[Any, Any], Any], epoch: int, report: Report) -> Metrics:
        """Train on every row once, and report about twice a second."""
        # From seed and epoch alone, so that a fit can be repeated bit for bit.
        order = np.random.default_rng((self.settings.seed, epoch)).permutation(self._rows)
        sums, reported = np.zeros(1), time.monotonic()
        for step in range(1, self.count + 1):
            chosen = order[(step - 1) * self._batch_rows : step * self._batch_rows]
            # A tensor: a Python number would be traced anew at every step.
            number = tf.constant(epoch * self.count + step)
            sums = sums + learn(tf.constant(chosen), number).numpy().astype(np.float64)
            if step < self.count and time.monotonic() - reported > REPORT_EVERY_SECONDS:
                reported = time.monotonic()
                report(
                    _progress(self.settings, epoch, step, self.count, self._metrics_of(sums, step))
                )
        return self._metrics_of(sums, self.count)


def one_cycle(learning_rate: float, *, steps: int) -> Any:
    """Warm up for a fifth of the steps, then decay along a cosine to 0 (Smith 2018)."""
    warm_up = max(steps // 5, 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 25,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(steps - warm_up, 1),
    )


def check_rows(training: Examples, validation: Examples) -> None:
    """Check that there are rows to train and to validate on.

    Raises:
        ValueError: saying how many rows there are of each.
    """
    if not training.n or not validation.n:
        raise ValueError(
            f"a fit learns from rows and is validated on others; got {training.n} to learn from "
            f"and {validation.n} to validate on; bring more rows or change validation_share"
        )


def fit_by_steps(
    build: Callable[..., keras.Model],
    prepare: Callable[[keras.Model], Course],
    training: Examples,
    validation: Examples,
    *,
    settings: TrainingSettings,
    report: Report,
    start: Path | None,
) -> Fitted:
    """Train a network from its seed, and keep the weights of the epoch that validated best.

    `build(seed=…)` makes the network, and `prepare` its `Course`. With `start`, the `network.keras`
    of an earlier version, training starts from its weights.

    Stops early when `patience_epochs` bring no smaller validation loss. The same machine, settings
    and rows give the same weights, bit for bit. `report` is called at each epoch's end, and about
    twice a second between.
    """
    check_rows(training, validation)
    network = build(seed=settings.seed)
    if start is not None:
        continue_from(network, start)
    steps, learn, validate = prepare(network)
    return keep_best(network, learn, validate, settings=settings, steps=steps, report=report)


def keep_best(
    network: keras.Model,
    learn: Epoch,
    validate: Callable[[], Metrics],
    *,
    settings: TrainingSettings,
    steps: int,
    report: Report,
) -> Fitted:
    """Train for all epochs, and keep the weights of the one with the least `validation_loss`.

    Stops early when `patience_epochs` bring no smaller one. `report` is called at each epoch's end.
    """
    history: list[dict[str, float]] = []
    # If every loss is NaN, the initial weights are kept, which no gate lets pass.
    best_epoch, best_loss, best_weights = 0, np.inf, network.get_weights()
    for epoch in range(1, settings.epochs + 1):
        began = time.monotonic()
        metrics = {**learn(epoch, report), **validate()}
        history.append(metrics | {"seconds": time.monotonic() - began})
        report(_progress(settings, epoch, steps, steps, history[-1]))
        if metrics["validation_loss"] < best_loss:
            best_epoch, best_loss = epoch, metrics["validation_loss"]
            best_weights = network.get_weights()
        elif epoch - best_epoch >= settings.patience_epochs:
            break
    network.set_weights(best_weights)
    return Fitted(network, history)


def _progress(
    settings: TrainingSettings, epoch: int, step: int, steps: int, metrics: Metrics
) -> Progress:
    return Progress(
        epoch=epoch, epochs=settings.epochs, step=step, steps=steps, metrics=dict(metrics)
    )


def fit(
    network: keras.Model,
    training: Examples,
    validation: Examples,
    *,
    output: str,
    loss: Any,
    metrics: tuple[str, ...] = (),
    settings: TrainingSettings,
    report: Report,
    start: Path | None = None,
) -> Fitted:
    """Train a network on one of its outputs, in Keras' own loop.

    Further outputs are left as they follow from the weights that this one needs. With `start`, the
    `network.keras` of an earlier version, training starts from its weights. The same machine,
    settings and rows give the same weights.

    Args:
        output: the name of the output that the labels belong to.
        loss: a loss as Keras takes it.
        metrics: names of further Keras metrics.
    """
    check_rows(training, validation)
    # Keras shuffles by its global seed.
    keras.utils.set_random_seed(settings.seed)
    if start is not None:
        continue_from(network, start)
    learner = _with_only(network, output)
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    learner.compile(optimizer, loss={output: loss}, metrics={output: list(metrics)})
    rows = min(settings.batch_rows, training.n)
    learned, held_out = (
        (dict(examples.inputs), {output: examples.labels_of(output)})
        for examples in (training, validation)
    )

    def learn(_epoch: int, _report: Report) -> Metrics:
        values_by_name = learner.fit(*learned, batch_size=rows, epochs=1, verbose=0).history
        return {_plain(name, output): float(values[-1]) for name, values in values_by_name.items()}

    def validate() -> Metrics:
        values_by_name = learner.evaluate(*held_out, batch_size=rows, verbose=0, return_dict=True)
        return {
            f"validation_{_plain(name, output)}": float(x) for name, x in values_by_name.items()
        }

    steps = -(-training.n // rows)
    return keep_best(network, learn, validate, settings=settings, steps=steps, report=report)


def _with_only(network: keras.Model, output: str) -> keras.Model:
    """The network with one output, sharing its weights: Keras wants labels for every output."""
    if not isinstance(network.output, Mapping) or len(network.output) == 1:
        return network
    return keras.Model(network.input, {output: network.output[output]})


def _plain(name: str, output: str) -> str:
    """The name of a Keras metric without the prefix of its output."""
    return name.removeprefix(f"{output}_")
