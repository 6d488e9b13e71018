"""Training loops: seeded epochs with early stopping, keeping the best epoch's weights.

Imported by networks only, in the training process: it imports TensorFlow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from overnight.models.definition import Progress, TrainingSettings
from overnight.models.examples import Examples
from overnight.models.training.export import continue_from
from overnight.models.training.freezing import Freezer, Frozen
from overnight.models.training.weights import ClassWeights, row_weights

REPORT_EVERY_SECONDS = 0.4

Report = Callable[[Progress], None]
Metrics = Mapping[str, float]
# Trains one epoch, counted from one, and returns its training metrics; it may report progress.
Epoch = Callable[[int, Report], Metrics]
# The steps of an epoch, the function that trains one, and the function that validates.
Course = tuple[int, Epoch, Callable[[], Metrics]]
# Makes an optimiser for so many steps at a learning rate.
MakeOptimizer = Callable[[float, int], keras.optimizers.Optimizer]


def adam(learning_rate: float, _steps: int) -> keras.optimizers.Optimizer:
    """Adam at a constant learning rate (Kingma and Ba 2015)."""
    return keras.optimizers.Adam(learning_rate)


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
    unstopped: int = 0,
) -> Fitted:
    """Train for all epochs, and keep the weights of the one with the least `validation_loss`.

    Stops early when `patience_epochs` bring no smaller one, counted after the first `unstopped`
    epochs. `report` is called at each epoch's end.
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
        elif epoch - max(best_epoch, unstopped) >= settings.patience_epochs:
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
    losses: Mapping[str, Any] | None = None,
    loss_weights: Mapping[str, float] | None = None,
    metrics: Sequence[Any] | Mapping[str, Sequence[Any]] = (),
    class_weights: Mapping[str, ClassWeights] | None = None,
    frozen: Frozen | None = None,
    optimizer: MakeOptimizer = adam,
    settings: TrainingSettings,
    report: Report,
    start: Path | None = None,
    output: str = "",
    loss: Any = None,
) -> Fitted:
    """Train a network on its outputs that have a loss, in Keras' own loop.

    Further outputs are left as they follow from the weights that these need. With `start`, the
    `network.keras` of an earlier version, training starts from its weights. Rows count by the
    weights of the examples, in validation as well. The same machine, settings and rows give the
    same weights.

    Args:
        losses: by output, each as Keras takes it.
        loss_weights: by output; without one a loss counts as 1.
        metrics: further Keras metrics by output, or those of the only output.
        class_weights: by output, for those whose labels are classes.
        frozen: layers that keep their weights at first.
        optimizer: makes the optimiser from the learning rate and the number of steps.
        output: with `loss`, the same as `losses={output: loss}`.

    Raises:
        ValueError: a loss, metric or weight belongs to no output, or a layer does not exist.
    """
    check_rows(training, validation)
    losses = dict(losses) if losses else {output: loss}
    if not isinstance(metrics, Mapping):
        metrics = {next(iter(losses)): metrics}
    _check_outputs(losses, _output_names(network))
    for named in (loss_weights or {}, metrics, class_weights or {}):
        _check_outputs(named, losses)
    # Keras shuffles by its global seed.
    keras.utils.set_random_seed(settings.seed)
    if start is not None:
        continue_from(network, start)
    learner = _with_only(network, tuple(losses))
    rows = min(settings.batch_rows, training.n)
    steps = -(-training.n // rows)
    freezer = Freezer(network, frozen) if frozen else None
    frozen_epochs = _frozen_epochs(frozen, settings)

    def compiled(share: float, epochs: int) -> None:
        learner.compile(
            optimizer(settings.learning_rate * share, epochs * steps),
            loss=losses,
            loss_weights={name: loss_weights.get(name, 1.0) for name in losses}
            if loss_weights
            else None,
            metrics={name: list(values) for name, values in metrics.items()},
        )

    learned, held_out = (
        (
            dict(examples.inputs),
            {name: examples.labels_of(name) for name in losses},
            row_weights(examples, training, tuple(losses), class_weights or {}),
        )
        for examples in (training, validation)
    )

    def learn(epoch: int, _report: Report) -> Metrics:
        if freezer and frozen and epoch == frozen_epochs + 1:
            freezer.thaw()
            # Compiled again: only then do Keras and the optimiser know what learns.
            compiled(frozen.thawed_rate, settings.epochs - frozen_epochs)
        x, y, weights = learned
        values_by_name = learner.fit(
            x, y, sample_weight=weights, batch_size=rows, epochs=1, verbose=0
        ).history
        return {_plain(name, losses): float(values[-1]) for name, values in values_by_name.items()}

    def validate() -> Metrics:
        x, y, weights = held_out
        values_by_name = learner.evaluate(
            x, y, sample_weight=weights, batch_size=rows, verbose=0, return_dict=True
        )
        return {
            f"validation_{_plain(name, losses)}": float(x) for name, x in values_by_name.items()
        }

    if freezer and frozen_epochs:
        freezer.freeze()
    compiled(1.0, frozen_epochs or settings.epochs)
    try:
        return keep_best(
            network,
            learn,
            validate,
            settings=settings,
            steps=steps,
            report=report,
            unstopped=frozen_epochs if frozen_epochs < settings.epochs else 0,
        )
    finally:
        # What is saved is the network, and not how it was trained.
        if freezer:
            freezer.thaw()


def _frozen_epochs(frozen: Frozen | None, settings: TrainingSettings) -> int:
    """How many epochs train without the frozen layers."""
    if frozen is None:
        return 0
    return settings.epochs if frozen.epochs is None else min(frozen.epochs, settings.epochs)


def _check_outputs(named: Collection[str], known: Collection[str]) -> None:
    """Check that losses are of the network's outputs, and all else of outputs with a loss."""
    if unknown := [name for name in named if name not in known]:
        raise ValueError(
            "losses belong to outputs of the network; metrics and weights to outputs with a loss: "
            f"expected some of {', '.join(known)}, found {', '.join(map(repr, unknown))}; correct "
            "the names in the network's module"
        )


def _output_names(network: keras.Model) -> list[str]:
    """The names of a network's outputs; of one that has only one and no name, that of its layer."""
    return list(network.output if isinstance(network.output, Mapping) else network.output_names)


def _with_only(network: keras.Model, outputs: tuple[str, ...]) -> keras.Model:
    """The network with some outputs, sharing its weights: Keras wants labels for every output."""
    if {*_output_names(network)} == {*outputs}:
        return network
    return keras.Model(network.input, {name: network.output[name] for name in outputs})


def _plain(name: str, outputs: Collection[str]) -> str:
    """The name of a Keras metric: alone where there is one output, else after its output's."""
    # The longest first: the name of one output may begin with that of another.
    for output in sorted(outputs, key=len, reverse=True):
        if name.startswith(f"{output}_"):
            plain = name.removeprefix(f"{output}_")
            return plain if len(outputs) == 1 else f"{output}.{plain}"
    return name
