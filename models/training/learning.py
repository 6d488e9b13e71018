"""How networks learn here: epoch by epoch, from a seed, with the best epoch kept.

Imported by networks alone, in the training process: it brings TensorFlow along.
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
# Of an epoch, counted from one, the metrics of learning; it may report in between.
Epoch = Callable[[int, Report], Metrics]
# How many steps an epoch has, how it is learned, and how it is validated.
Course = tuple[int, Epoch, Callable[[], Metrics]]


class Fitted(NamedTuple):
    """The trained network, and what each epoch came to: loss, validation_loss, seconds and more."""

    network: keras.Model
    history: list[dict[str, float]]


class Steps:
    """The steps of one fit: batches in an order fixed by seed and epoch, and their optimiser.

    `learn(chosen, step)` takes one on the rows `chosen` and returns sums to be told, a tensor;
    `told(sums, steps)` names the metrics that sums of so many steps are.
    """

    def __init__(
        self,
        network: keras.Model,
        rows: int,
        *,
        settings: TrainingSettings,
        weight_decay: float,
        told: Callable[[NDArray[np.float64], int], dict[str, float]],
    ) -> None:
        self.settings, self._rows, self._told = settings, rows, told
        self._batch_rows = min(settings.batch_rows, rows)
        self.count = rows // self._batch_rows
        self.optimizer = keras.optimizers.AdamW(
            one_cycle(settings.learning_rate, steps=settings.epochs * self.count),
            weight_decay=weight_decay,
        )
        self.optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self.optimizer.build(network.trainable_variables)

    def take(self, learn: Callable[[Any, Any], Any], epoch: int, report: Report) -> Metrics:
        """Show every row once, and report about twice a second."""
        order = np.random.default_rng((self.settings.seed, epoch)).permutation(self._rows)
        sums, reported = np.zeros(1), time.monotonic()
        for step in range(1, self.count + 1):
            chosen = order[(step - 1) * self._batch_rows : step * self._batch_rows]
            number = tf.constant(epoch * self.count + step)
            sums = sums + learn(tf.constant(chosen), number).numpy().astype(np.float64)
            if step < self.count and time.monotonic() - reported > REPORT_EVERY_SECONDS:
                reported = time.monotonic()
                report(_progress(self.settings, epoch, step, self.count, self._told(sums, step)))
        return self._told(sums, self.count)


def one_cycle(learning_rate: float, *, steps: int) -> Any:
    """Warm up for a fifth of the steps, then fall along a cosine to nothing (Smith 2018)."""
    warm_up = max(steps // 5, 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 25,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(steps - warm_up, 1),
    )


def check_rows(training: Examples, validation: Examples) -> None:
    """Refuse to learn from nothing, or to be validated on nothing.

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

    `build(seed=…)` makes it, and `prepare` what teaches it. With `start`, a `network.keras` of an
    earlier night, training goes on from its weights.

    Stops early when `patience_epochs` bring no smaller validation loss. The same machine, settings
    and rows give the same weights, bit for bit. `report` hears of each epoch's end, and about twice
    a second between.
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
    """Learn for all epochs, and keep the weights of the one with the least `validation_loss`.

    Stops early when `patience_epochs` bring no smaller one. `report` hears of each epoch's end.
    """
    history: list[dict[str, float]] = []
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
    """Teach a network its labels by one of its outputs, in Keras' own loop.

    With `start`, a `network.keras` of an earlier night, training goes on from its weights. The
    same machine, settings and rows give the same weights.

    Args:
        output: the name of the output that the labels are the truth of.
        loss: what Keras takes for a loss.
        metrics: names of Keras' metrics to tell beside it.
    """
    check_rows(training, validation)
    keras.utils.set_random_seed(settings.seed)
    if start is not None:
        continue_from(network, start)
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    network.compile(optimizer, loss={output: loss}, metrics={output: list(metrics)})
    rows = min(settings.batch_rows, training.n)
    seen, held = (
        (dict(examples.inputs), {output: examples.labels}) for examples in (training, validation)
    )

    def learn(_epoch: int, _report: Report) -> Metrics:
        found = network.fit(*seen, batch_size=rows, epochs=1, verbose=0).history
        return {_plain(name, output): float(values[-1]) for name, values in found.items()}

    def validate() -> Metrics:
        found = network.evaluate(*held, batch_size=rows, verbose=0, return_dict=True)
        return {f"validation_{_plain(name, output)}": float(x) for name, x in found.items()}

    steps = -(-training.n // rows)
    return keep_best(network, learn, validate, settings=settings, steps=steps, report=report)


def _plain(name: str, output: str) -> str:
    """A metric's name as histories tell it, without that of its output."""
    return name.removeprefix(f"{output}_")
