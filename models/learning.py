"""How a small network learns by Keras' own loop: from its seed, with its best epoch kept.

Imported by networks alone, in the training process: it brings TensorFlow along.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from models.definition import Examples, Progress, TrainingSettings
from models.exporting import continue_from

Report = Callable[[Progress], None]


class Fitted(NamedTuple):
    """The trained network, and what each epoch came to: loss, validation_loss, seconds and more."""

    network: keras.Model
    history: list[dict[str, float]]


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
    """Teach a network its labels by one of its outputs, and keep the epoch that validated best.

    With `start`, a `network.keras` of an earlier night, training goes on from its weights. Stops
    early when `patience_epochs` bring no smaller validation loss. The same machine, settings and
    rows give the same weights; `report` hears of each epoch's end.

    Args:
        output: the name of the output that the labels are the truth of.
        loss: what Keras takes for a loss.
        metrics: names of Keras' metrics to tell beside it.
    """
    if not training.n or not validation.n:
        raise ValueError(
            f"a fit learns from rows and is validated on others; got {training.n} to learn from "
            f"and {validation.n} to validate on; bring more rows or change validation_share"
        )
    keras.utils.set_random_seed(settings.seed)
    if start is not None:
        continue_from(network, start)
    network.compile(
        keras.optimizers.Adam(settings.learning_rate),
        loss={output: loss},
        metrics={output: list(metrics)},
    )
    teller = _Teller(settings.epochs, output, report)
    best = keras.callbacks.EarlyStopping(
        "val_loss", patience=settings.patience_epochs, restore_best_weights=True
    )
    network.fit(
        dict(training.inputs),
        {output: training.labels},
        validation_data=(dict(validation.inputs), {output: validation.labels}),
        batch_size=min(settings.batch_rows, training.n),
        epochs=settings.epochs,
        callbacks=[teller, best],
        verbose=0,
    )
    return Fitted(network, teller.history)


class _Teller(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Words each epoch as histories and progress are worded everywhere here."""

    def __init__(self, epochs: int, output: str, report: Report) -> None:
        super().__init__()
        self._epochs, self._output, self._report = epochs, output, report
        self.history: list[dict[str, float]] = []

    def on_epoch_begin(self, _epoch: int, _logs: Mapping[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        told = {self._worded(name): float(np.float64(x)) for name, x in (logs or {}).items()}
        self.history.append(told | {"seconds": time.monotonic() - self._began})
        steps = self.params["steps"] or 1
        self._report(
            Progress(epoch=epoch + 1, epochs=self._epochs, step=steps, steps=steps, metrics=told)
        )

    def _worded(self, name: str) -> str:
        kind, plain = ("validation_", name[4:]) if name.startswith("val_") else ("", name)
        return kind + plain.removeprefix(f"{self._output}_")
